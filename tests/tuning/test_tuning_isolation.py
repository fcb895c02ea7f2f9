"""Tuning sees no test image: seeds and splits of its trials, and canaries that look for the test labels."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from search_lab import RAW, Lab, bumpy, spec_of
from tailboard.harness.errors import StoreError
from tailboard.harness.metrics.validation import measured
from tailboard.harness.registry.datasets import long_tail, split_of
from tailboard.harness.reporting import gather
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.plugin_files import with_plugin
from tailboard.harness.spec.schema import Shots, Trial, plan
from tailboard.harness.storage.store import Store
from tailboard.harness.training.job import Job
from tailboard.harness.training.scoring_process import scoring_process
from tailboard.harness.training.trial import TrialContext, run_trial
from tailboard.harness.tuning.optuna_study import open_storage
from tailboard.harness.tuning.search import searches

# Seeds and images


@settings(max_examples=50)
@given(
    seeds=st.lists(st.integers(0, 5) | st.integers(995, 1012), min_size=1, max_size=12, unique=True),
    several=st.integers(1, 5),
)
def test_tuning_seeds_are_never_reporting_seeds(seeds, several):
    (search,) = searches(spec_of({"seeds": several}, seeds=seeds)).values()
    assert len(set(search.seeds)) == several
    assert min(search.seeds) >= 1000
    assert not set(search.seeds) & set(seeds)
    assert {trial.seed for trial in search.default_trials()} == set(search.seeds)
    assert all(trial.stage == "tune" for trial in search.default_trials())


def test_the_neighbours_of_1000_may_be_reporting_seeds():
    (search,) = searches(spec_of({"seeds": 2}, seeds=[1000, 1001])).values()
    assert search.seeds == [1002, 1003]


@pytest.fixture(scope="module")
def tune_trial() -> Trial:
    return next(iter(searches(spec_of({"training": {"epochs": 1}})).values())).default_trials()[0]


def test_validation_is_balanced_and_shares_no_image_with_training(tune_trial):
    split, pool = split_of(tune_trial, None, True)
    train, val = ({image.tobytes() for image in images.x} for images in (split.train, split.val))
    assert len(train) == len(split.train) and len(val) == len(split.val)
    assert not train & val
    assert val < {image.tobytes() for image in pool.train.x} and train < {image.tobytes() for image in pool.train.x}
    assert np.bincount(split.val.y).tolist() == [60] * 10, "a tenth of the smallest class"
    assert np.bincount(split.train.y).tolist() == list(long_tail(tune_trial.data)), "cut before the tail is"


def test_a_tuning_trial_is_given_and_scored_on_validation_images_only(tune_trial, tmp_path):
    split, _ = split_of(tune_trial, None, True)
    record = run_trial(Job.of(tune_trial), TrialContext(store=str(tmp_path)))
    assert (record.status, record.reason) == ("complete", "")
    assert record.test_counts == (60,) * 10
    assert Store(tmp_path).arrays(record.key)["labels"].tolist() == split.val.y.tolist()
    _check_metrics(record, Store(tmp_path).arrays(record.key))
    images = {}
    for trial in (tune_trial, plan(spec_of())[0]):
        scoring_process().split(trial, None, True)
        images[trial.stage] = scoring_process().images()
    assert np.array_equal(images["tune"], split.val.x) and np.array_equal(images["report"], split.test.x)


def _check_metrics(record, arrays):
    """What a search may look for is of the stored logits, and said to be lacking where the record has it not."""
    logits, labels = arrays["last_ema"].astype(float), arrays["labels"]
    taken, shares = logits.argmax(axis=1), softmax(logits, axis=1)
    expected = {
        "val/macro_f1": f1_score(labels, taken, average="macro"),
        "val/precision:3": precision_score(labels, taken, labels=[3], average="macro", zero_division=0),
        "val/auroc": roc_auc_score(labels, shares, multi_class="ovr"),
        "val/worst_class": min(record.accuracy["last_ema"]) / 100,
        "val/g_mean": np.prod(recall_score(labels, taken, average=None)) ** 0.1,
        "val/accuracy": np.mean(taken == labels),
    }
    found = {metric: measured(metric, record, Shots()) for metric in expected}
    assert found == pytest.approx({metric: 100 * value for metric, value in expected.items()})
    older = record.model_copy(update={"confusion": "", "scores": {}})
    for metric in ("val/macro_f1", "val/auroc"):
        with pytest.raises(StoreError, match=f"of an earlier version, lacks what {metric} needs"):
            measured(metric, older, Shots())
    assert measured("val/g_mean", older, Shots()) == found["val/g_mean"]
    damaged = record.model_copy(update={"confusion": record.confusion[4:]})
    with pytest.raises(StoreError, match="is damaged: confusion"):
        measured("val/macro_f1", damaged, Shots())


# The leak canary: methods that look for the test labels

CANARIES = """
import lzma, os
from dataclasses import dataclass
from pathlib import Path
import numpy as np
from tailboard.datasets.readers.embedded import FILE
from tailboard.datasets.files import cache
from tailboard.harness.registry.datasets import dataset, pool
from tailboard.methods.recipe import Part, Range, Recipe, hyper, register
from torch.nn.functional import cross_entropy

PEEKS = {
    "the pool": lambda: pool("fashion-mnist-mini", None, True).test.y,
    "a copy of the pool": lambda: dataset("fashion-mnist-mini").load(None, True).test.y,
    "open": lambda: open(FILE, "rb").read(),
    "Path": lambda: Path(os.path.relpath(FILE)).read_bytes(),
    "lzma": lambda: np.load(lzma.open(FILE)),
    "os.open": lambda: os.read(os.open(FILE, os.O_RDONLY), 10),
    "np.load": lambda: np.load(str(FILE)),
    "decoded labels": lambda: [np.load(file) for file in cache().glob("arrays/*/test_labels.npy")],
}

@dataclass(frozen=True)
class Canary(Part):
    peek: str
    while_building: bool
    scale: float = hyper(1.0, "none", Range(0.5, 2.0))

    def build(self, scene):
        if self.while_building:
            PEEKS[self.peek]()
        def loss(logits, y, epsilon):
            PEEKS[self.peek]()
            return cross_entropy(logits, y, reduction="none") * self.scale
        return loss

for peek in PEEKS:
    for building in (True, False):
        register(f"{peek}, {building}", Recipe(loss=Canary(peek, building)))
"""
PEEKS = ("the pool", "a copy of the pool", "open", "Path", "lzma", "os.open", "np.load", "decoded labels")
NAMES = [f"{peek}, {building}" for peek in PEEKS for building in (True, False)]


class Real(Lab):
    """The same, with real trainings."""

    def train(self, job: Job) -> None:
        run_trial(job, TrialContext(store=str(self.store), plugins=self.spec.plugins))


@pytest.fixture(scope="module")
def caught(tmp_path_factory, empty_studies) -> dict[str, Real]:
    """All canaries in a spec that is tuned, and in one that is not."""
    labs = {}
    for stage in ("tune", "report"):
        raw = RAW | {"methods": ["ERM"], "seeds": 1, "training": {"epochs": 1, "batch_size": 32}}
        if stage == "tune":
            raw["tune"] = {"trials": 2, "parameters": ["scale"], "generation": 2}
        spec = with_plugin(parse(raw), CANARIES, NAMES)
        labs[stage] = Real(tmp_path_factory.mktemp(stage), spec, bumpy)
        shutil.copy(empty_studies, labs[stage].store.root)
        with open_storage(labs[stage].store) as labs[stage].memory:
            assert labs[stage].drive()
    return labs


@pytest.mark.slow
@pytest.mark.parametrize("stage", ("tune", "report"))
@pytest.mark.parametrize("name", NAMES)
def test_a_method_that_looks_for_the_test_labels_fails_and_no_number_comes_out(caught, stage, name):
    store = caught[stage].store
    records = [record for key in store.finished() if (record := store.record(key)).trial.method.name == name]
    assert [(r.trial.stage, r.status) for r in records] == [(stage, "failed")] * (2 if stage == "tune" else 1)
    assert all(record.reason.startswith("TestSetLocked: ") and not record.accuracy for record in records)
    board = gather.gather([store])
    row = board.rows[board.rows["method"] == name]
    assert set(row["status"]) == {"failed"} and row["value"].isna().all()
    assert all("TestSetLocked" in reason for reason in row["reason"])
    assert "TestSetLocked" in board.rendered("md")
    honest = board.rows[board.rows["method"] == "ERM"]
    assert set(honest["status"]) == {"complete"} and honest["value"].notna().any()
