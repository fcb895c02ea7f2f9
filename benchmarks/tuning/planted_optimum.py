"""How often each sampler finds a planted optimum: a synthetic metric in place of a training, the search as it is.

    .venv/bin/python benchmarks/tuning/planted_optimum.py [repetitions]

A metric of two hyperparameters (rho and lambda, on logarithmic scales) that falls by 40 points from its peak, a noise
of 0.3 points, a peak of its own in each repetition; generations of 4, no pruning. Found: the best configuration is,
without the noise, within half a point of the peak. Of 30 repetitions, and the mean distance from the peak in points:

    sampler  budget  found  missed by
    tpe          12  17 of 30  0.79
    random       12  12 of 30  1.20
    qmc          12  16 of 30  0.63
    gp           12  28 of 30  0.30
    tpe          24  29 of 30  0.17
    random       24  19 of 30  0.46
    qmc          24  22 of 30  0.38
    gp           24  29 of 30  0.12

All but gp together take seconds; gp takes most of half an hour on a busy core.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np
import optuna

from tailboard.harness.tuning.configuration import best
from tailboard.harness.tuning.dimension import Dimension, Space
from tailboard.harness.tuning.optuna_study import create_study
from tailboard.methods.range import Range

SPACE: Space = {
    "step.rho": Dimension(Range(0.01, 1.0, log=True), 0.05),
    "mixer.lambda": Dimension(Range(0.01, 1.0, log=True), 0.5),
}
PEAK, FALL, NOISE, NEAR, GENERATION = 70.0, 40.0, 0.3, 0.5, 4


def planted(rng: np.random.Generator) -> Callable[[Mapping[str, Any]], float]:
    """A metric whose peak lies anywhere but at the edge."""
    at = {name: rng.uniform(0.1, 0.9) for name in SPACE}

    def metric(values: Mapping[str, Any]) -> float:
        return PEAK - FALL * sum((place(name, value) - at[name]) ** 2 for name, value in values.items())

    return metric


def place(name: str, value: float) -> float:
    """Where a value lies in its range, from 0 to 1."""
    found = SPACE[name].range
    return math.log(value / found.low) / math.log(found.high / found.low)


def missed_by(sampler: str, budget: int, repetition: int) -> float:
    """How far below the peak the search ends."""
    rng = np.random.default_rng(repetition)
    metric = planted(rng)
    study = create_study(optuna.storages.InMemoryStorage(), "planted")
    for start in range(0, budget, GENERATION):
        for found in study.generation(SPACE, start, min(GENERATION, budget - start), sampler, repetition):
            study.tell(replace(found, state="complete", value=metric(found.values) + rng.normal(0, NOISE)), {})
    winner = best(study.configurations())
    return PEAK - metric(winner.values) if winner else math.inf


def main(repetitions: int = 30) -> None:
    print("sampler  budget  found  missed by")
    for budget in (12, 24):
        for sampler in ("tpe", "random", "qmc", "gp"):
            missed = [missed_by(sampler, budget, repetition) for repetition in range(repetitions)]
            found = sum(each < NEAR for each in missed)
            print(f"{sampler:7}  {budget:6}  {found:2} of {repetitions}  {fmean(missed):.2f}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
