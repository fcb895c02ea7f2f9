"""A store of a study whose records are written by hand, and the command that draws it."""

import json
from math import sqrt

import numpy as np
from typer.testing import CliRunner

from tailboard.harness.cli.app import app
from tailboard.harness.registry.datasets import long_tail
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.record import Provenance, Record
from tailboard.harness.storage.store import Store

DATA = {"name": "fashion-mnist-mini", "train_ratio": [0.05, 0.2, 1], "total": 300}
SPEC = {"name": "f", "data": DATA, "methods": ["ERM", "Focal Loss"], "network": "small", "training": {"epochs": 4},
        "seeds": 5}  # fmt: skip


def recalls_of(trial):
    """Those of the last classes rise with the train ratio, those of the first fall, and Focal Loss adds 4 points."""
    ratio, classes = 1 / trial.data.imbalance_factor, np.arange(10)
    noise = np.random.default_rng([trial.seed, int(1000 * ratio), trial.training.batch_size]).normal(0, 0.5, 10)
    return 80 - 30 * (1 - sqrt(ratio)) * (classes / 5 - 0.6) + 4 * (trial.method.name != "ERM") + noise


def store_of(top, left_out=(), turn=1, verified=True, **changes):
    store, spec = Store(top / "store"), parse(SPEC | changes)
    store.write_plan(spec)
    for number, trial in list(enumerate(plan(spec)))[::turn]:
        if number not in left_out:
            accuracy = tuple(float(value) for value in recalls_of(trial))
            store.write_record(Record(
                key=trial.key, trial=trial, status="complete", counts=long_tail(trial.data),
                data=Provenance(verified=verified, hashes={}, fingerprint="0" * 64), accuracy={"last_ema": accuracy},
            ))  # fmt: skip
    return store


def printed(*words):
    """Its return value is the exit code."""
    return CliRunner().invoke(app, ["figure", *map(str, words)], standalone_mode=False)


def facts(store, *words):
    done = printed(store, *words, "--json")
    assert done.return_value == 0, done.exception
    return json.loads(done.stdout)
