"""What it costs that test labels are in another process: per trial, and when a worker begins.

    .venv/bin/python benchmarks/training/label_isolation.py [--data fashion-mnist] [--root FOLDER] [--repeats 30]

A trial asks that process three times: for its training images, for those to be scored, and to score and write the
record. The same three answers are made here in one process, turn about; training is left out, and the logits are
random. A worker's first look at a data set is timed in processes of their own, with the files decoded already (as any
worker but the first of a machine finds them) and with nothing in the cache. Medians; the load beside it is printed.

Measured at a load of 25 on 2 cores, 15 to 30 repeats: fashion-mnist-mini (3,000 test images) 60.6 ms for 55.7, first
look 0.639 s for 0.047; fashion-mnist (10,000) 99.8 ms for 82.6, first look 1.611 s for 0.072.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from tailboard.benchmarks.machine_load import say_load
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import Trial, plan
from tailboard.harness.storage.serialization import pack_arrays
from tailboard.harness.training.environment import environment
from tailboard.harness.training.scoring_process import ScoringProcess
from tailboard.harness.training.scoring_server import ScoringServer

MEASURED = [
    (
        "test labels in another process: more time a trial, without its training",
        "5 ms of 61 on fashion-mnist-mini, 17 ms of 100 on fashion-mnist",
        "",
        "2 cores of an AMD EPYC under a load of 25",
    ),
    (
        "a worker's first look at a data set, files not decoded over decoded",
        "15 on fashion-mnist-mini (medians 0.64 and 0.05 s), 25 on fashion-mnist (1.6 and 0.07 s): medians of ratios",
        "--data fashion-mnist",
        "2 cores of an AMD EPYC under a load of 25",
    ),
]
FIRST = """
import sys, time
from pathlib import Path
from tailboard.harness.registry.datasets import split_of
from tailboard.harness.spec.schema import Trial
trial = Trial.model_validate_json(sys.argv[1])
begun = time.perf_counter()
split, _ = split_of(trial, Path(sys.argv[2]) if sys.argv[2] else None, True)
split.train.x[:].sum()
print(time.perf_counter() - begun)
"""


def record_of(about: dict[str, Any]) -> dict[str, Any]:
    """The fields of a record that a trial of this split would hand over."""
    import torch

    kept = {name: about[name] for name in ("counts", "test_counts", "data")}
    now = "2026-01-01T00:00:00+00:00"
    times = {"started": now, "finished": now, "train_seconds": 1.0, "wall_seconds": 1.0, "attempts": 1, "epochs": 1}
    return kept | times | {"environment": environment(torch.device("cpu")), "values": {}, "status": "complete"}


def in_one_process(trial: Trial, root: str | None, store: str, logits: dict[str, np.ndarray]) -> float:
    """Seconds of the three answers, made here."""
    server, begun = ScoringServer(), time.perf_counter()
    where = {"root": root, "verify": True}
    about, _ = server.answer({"ask": "split", "trial": trial.model_dump(mode="json"), **where}, b"")
    server.answer({"ask": "images"}, b"")
    server.answer({"ask": "finish", "store": store, "record": record_of(about)}, pack_arrays(logits, compressed=False))
    return time.perf_counter() - begun


def in_another(
    held: ScoringProcess, trial: Trial, root: str | None, store: str, logits: dict[str, np.ndarray]
) -> float:
    """Seconds of the three requests to the process that holds the labels."""
    begun = time.perf_counter()
    data = held.split(trial, Path(root) if root else None, True)
    held.images()
    about = {"counts": data.counts, "test_counts": data.test_counts, "data": data.provenance}
    held.finish(store, record_of(about), logits)
    return time.perf_counter() - begun


def first_look(trial: Trial, root: str | None, cache: str) -> float:
    """Seconds until a process has a data set's training images."""
    words = [sys.executable, "-c", FIRST, trial.model_dump_json(), root or ""]
    done = subprocess.run(words, env=os.environ | {"XDG_CACHE_HOME": cache}, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Print the medians and their ratios."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--data", default="fashion-mnist-mini")
    asked.add_argument("--root")
    asked.add_argument("--repeats", type=int, default=30)
    options = asked.parse_args()
    load = say_load()
    trial = plan(parse({"name": "t", "data": options.data, "methods": "ERM", "network": "small", "seeds": 1}))[0]
    held, times = ScoringProcess(), {"one process": list[float](), "another": list[float]()}
    with tempfile.TemporaryDirectory() as folder:
        held.split(trial, Path(options.root) if options.root else None, True)
        tested = len(held.images())
        drawn = np.random.default_rng(0).normal(size=(tested, 10)).astype(np.float16)
        logits = {"last_ema": drawn, "last": drawn}
        for number in range(options.repeats):
            place = f"{folder}/{number}"
            times["one process"].append(in_one_process(trial, options.root, f"{place}a", logits))
            times["another"].append(in_another(held, trial, options.root, f"{place}b", logits))
        held.close()
        caches = [f"{folder}/cache{number}" for number in range(3)]
        looks = [(first_look(trial, options.root, cache), first_look(trial, options.root, cache)) for cache in caches]
    medians = {name: median(each[3:]) for name, each in times.items()}
    print(json.dumps({
        "data": options.data, "tested images": tested, "load": load,
        "milliseconds a trial": {name: round(1000 * each, 2) for name, each in medians.items()},
        "more milliseconds a trial": round(1000 * (medians["another"] - medians["one process"]), 2),
        "first look, nothing decoded over decoded": round(median(cold / warm for cold, warm in looks), 1),
        "seconds of a first look": [round(median(each), 3) for each in zip(*looks, strict=True)],
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
