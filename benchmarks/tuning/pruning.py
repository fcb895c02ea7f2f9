"""What successive halving saves of a search and what it costs: the same search with and without it, on real images.

    .venv/bin/python benchmarks/tuning/pruning.py [repetitions] [method] [trials] [epochs]

fashion-mnist-mini at imbalance factor 100, the network ``small``, one method with all that it declares and its
learning rate; two repetitions at a time, a thread each, no Ray. Each repetition has proposals, a validation split and
initial weights of its own. Spent: the epochs with halving over those without. Lost: the best validation balanced
accuracy without halving minus that with it, in points, the mean over the repetitions and its standard error.

Measured on two shared cores (AMD EPYC with AVX-512, torch 2.14.1), Reweighting, 12 trials, 32 epochs, 6 repetitions:
192 of 384 epochs each, **0.50**; lost **-0.97 +- 0.64** points: 0.00 in four of six, -2.17 and -3.67 in two, where the
search that was pruned happened on better values than the one that was not.

Over 16 epochs a quarter of the training is still inside the 5 epochs of warm-up, and says little: 3.5 points were lost
in one of two repetitions. ``tailboard plan`` warns of that.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from math import nan, sqrt
from multiprocessing import get_context
from pathlib import Path

import optuna

from tailboard.benchmarks.machine_load import say_load
from tailboard.harness.scheduling.queue import JobQueue
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import Spec
from tailboard.harness.storage.store import Store
from tailboard.harness.training.trial import TrialContext, run_trial
from tailboard.harness.tuning.configuration import Configuration, best
from tailboard.harness.tuning.dimension import Space
from tailboard.harness.tuning.optuna_study import Study
from tailboard.harness.tuning.search import searches
from tailboard.harness.tuning.successive_halving import run_search

MEASURED = (  # rows of docs/benchmarks.md: what, measured, arguments, machine
    (
        "epochs of a search with `prune` over without; points lost",
        "0.50; -0.97 ± 0.64 (6 repetitions)",
        "",
        "2 shared cores of an AMD EPYC (AVX-512)",
    ),
)


def spec_of(method: str, trials: int, epochs: int, repetition: int, prune: bool) -> Spec:
    """Its reporting seeds push the tuning seed on, so that each repetition has one of its own."""
    return parse(
        {
            "name": "pruning",
            "data": {"name": "fashion-mnist-mini", "imbalance_factor": 100},
            "methods": [method],
            "network": "small",
            "training": {"epochs": epochs, "batch_size": 64},
            "seeds": list(range(1000, 1000 + repetition)) or [0],
            "tune": {"trials": trials, "parameters": ["all", "lr"], "prune": prune},
        }
    )


class Seeded(Study):
    """A study whose proposals are drawn from the repetition: with halving and without, the first are the same."""

    def __init__(self, repetition: int) -> None:
        super().__init__(optuna.create_study(direction="maximize"))
        self._repetition = repetition

    def generation(self, space: Space, start: int, size: int, sampler: str, seed: int) -> list[Configuration]:
        return super().generation(space, start, size, sampler, self._repetition)


def searched(spec: Spec, folder: Path, repetition: int) -> list[Configuration]:
    """A whole search, one job after the other."""
    (search,) = searches(spec).values()
    store, study = Store(folder), Seeded(repetition)
    agenda = JobQueue(store)
    agenda.add(run_search(search, study, store, {}, lambda *_: None, lambda _: None))
    while (job := agenda.pop()) is not None:
        agenda.complete(job, run_trial(job, TrialContext(str(store))))
    return study.configurations()


def compared(method: str, trials: int, epochs: int, repetition: int) -> tuple[int, int, float]:
    """Epochs with halving and without, and how many points it lost."""
    found = {}
    for prune in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            found[prune] = searched(spec_of(method, trials, epochs, repetition, prune), Path(folder), repetition)
    spent = {prune: sum(c.epochs for c in configurations) for prune, configurations in found.items()}
    return spent[True], spent[False], highest(found[False]) - highest(found[True])


def highest(found: Sequence[Configuration]) -> float:
    """The winner's validation balanced accuracy, in percent."""
    winner = best(found)
    return nan if winner is None or winner.value is None else winner.value


def main(repetitions: int, method: str, trials: int, epochs: int) -> None:
    say_load()
    start, lost, ratios = time.perf_counter(), [], []
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        found = pool.map(partial(compared, method, trials, epochs), range(repetitions))
        for repetition, (with_it, without, points) in enumerate(found):
            lost.append(points)
            ratios.append(with_it / without)
            print(f"{repetition}: {with_it} of {without} epochs, lost {points:.2f}", flush=True)
    error = statistics.stdev(lost) / sqrt(len(lost)) if len(lost) > 1 else nan
    print(f"{method}: spent {max(ratios):.2f} at most; lost {statistics.fmean(lost):.2f} ± {error:.2f} points")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    given = sys.argv[1:]
    repetitions, method, trials, epochs = *given, *("6", "Reweighting", "12", "32")[len(given) :]
    main(int(repetitions), method, int(trials), int(epochs))
