"""Validation keeps the groups of a user's images whole, and what they are is in the key."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tailboard.datasets.catalog import DataError
from tailboard.datasets.group_split import set_aside
from tailboard.datasets.split import Images, Pool, cut
from tailboard.harness.bundles.record_checks import words
from tailboard.harness.registry.datasets import dataset_of, long_tail, split_of
from tailboard.harness.spec.parser import parse, parse_data
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.store import Store
from tailboard.harness.training.job import Job
from tailboard.harness.training.trial import TrialContext, run_trial


@pytest.fixture
def table(tmp_path, cache_of_its_own):
    """``table(groups)``: a CSV of 24 + 12 + 6 images, the test images among them, with a group for each."""
    labels = [name for name, count in (("a", 24), ("b", 12), ("c", 6)) for _ in range(count)]
    for index in range(len(labels)):
        pixels = np.random.default_rng(index).integers(0, 256, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")

    def write(groups, name="l.csv") -> Path:
        with (tmp_path / name).open("w", newline="") as file:
            split = ["test" if index % 6 == 5 else "train" for index in range(len(labels))]
            lines = [(f"{index}.png", labels[index], split[index], groups(index)) for index in range(len(labels))]
            csv.writer(file).writerows([("image", "label", "split", "patient"), *lines])
        return tmp_path / name

    return write


def patients(index: int) -> str:
    """Three images each, the test images' own."""
    return f"t{index}" if index % 6 == 5 else f"p{index // 3}"


def trial(path: Path, **words):
    found = plan(parse({"name": "x", "data": f"csv:{path}", "methods": "ERM", "network": "small", "seeds": 1}))[0]
    return found.model_copy(update={"stage": "tune", "val_per_class": 2} | words)


def test_a_patient_is_trained_or_validated_on(table):
    asked = trial(table(patients))
    split, pool = split_of(asked, None, True)
    train, held = (set(pool.groups[indices]) for indices in split.indices)
    assert held and not train & held
    assert np.bincount(split.val.y).tolist() == [2, 2, 2]
    available = dataset_of(asked.data).available
    assert long_tail(asked.data, 2) == tuple(n - 2 for n in available)  # a plan knows of no group
    assert split.counts == tuple(np.bincount(split.train.y)) and all(
        map(int.__le__, split.counts, long_tail(asked.data, 2))
    )
    again, _ = split_of(asked, None, True)
    assert all(map(np.array_equal, split.indices, again.indices))
    other, _ = split_of(trial(table(patients), seed=7), None, True)
    assert not np.array_equal(split.indices[1], other.indices[1])


def test_groups_are_a_word_of_the_key_and_their_names_are_not(table, tmp_path):
    keys = [
        trial(table(groups, f"{number}.csv")).key
        for number, groups in enumerate((patients, lambda i: f"x{patients(i)}", lambda i: f"{i}"))
    ]
    assert keys[0] == keys[1] != keys[2]
    alone = parse_data({"name": f"csv:{tmp_path}/2.csv"})
    assert alone.contents.groups is None and "groups" not in alone.canonical
    assert dataset_of(alone).load(None, True).groups is None  # found as it was seen, though others hold the same images
    assert dataset_of(parse_data({"name": f"csv:{tmp_path}/0.csv"})).load(None, True).groups is not None


@pytest.mark.slow
def test_a_trial_and_its_record_hold_to_the_groups(table, tmp_path):
    asked = trial(table(patients))
    short = asked.model_copy(update={"training": asked.training.model_copy(update={"epochs": 1, "batch_size": 8})})
    record = run_trial(Job.of(short), TrialContext(str(tmp_path / "s")))
    assert record.status == "complete" and record.test_counts == (2, 2, 2)
    assert record.counts == split_of(short, None, True)[0].counts and list(words(record)) == []
    assert Store(tmp_path / "s").record(short.key) == record


@pytest.mark.slow
def test_a_class_of_one_group_cannot_be_validated_on(table, tmp_path):
    asked = trial(table(lambda index: f"t{index}" if index % 6 == 5 else ("p" if index >= 36 else f"q{index}")))
    with pytest.raises(DataError, match=r"csv:l.csv: class 2 has images of too few groups"):
        run_trial(Job.of(asked), TrialContext(str(tmp_path / "s")))


def test_large_groups_are_passed_over_where_they_can_be():
    y, groups = np.zeros(20, int), np.array([0] * 12 + list(range(1, 9)))
    for seed in range(20):
        aside = set_aside(y, groups, seed, 3)
        assert aside.sum() == 3 and not aside[:12].any()
    assert set_aside(np.zeros(3, int), np.array([0, 0, 1]), 0, 1).sum() in (1, 2)


def test_without_groups_a_split_is_as_it_was():
    images = Images(np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1), np.repeat([0, 1], 20))
    before, alone = Pool(images, images, True), Pool(images, images, True, groups=np.arange(40))
    one, two = cut(before, (10, 5), 3, 4), cut(alone, (10, 5), 3, 4)
    assert one.counts == two.counts == (10, 5) and len(two.indices[1]) == len(one.indices[1]) == 8
