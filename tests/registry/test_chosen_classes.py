"""Data of some classes, and of a majority and a minority of given sizes: words of a spec, counts, images, a record."""

import numpy as np
import pytest

from small_spec import SMALL
from tailboard.datasets.catalog import DataError
from tailboard.datasets.lock import loading
from tailboard.harness.bundles.record_checks import words as faults
from tailboard.harness.errors import SpecError
from tailboard.harness.registry.datasets import dataset, dataset_of, long_tail, split_of
from tailboard.harness.spec.labels import label
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.training.job import Job
from tailboard.harness.training.trial import TrialContext, run_trial

PAIR = {"name": "fashion-mnist-mini", "classes": ["Shirt", "Coat"], "majority": [20, 80, 200], "minority": 50}


def data_of(words):
    return parse(SMALL | {"data": words}).data


def test_the_superclasses_of_cifar100_are_twenty_times_five_of_its_classes():
    about = dataset("cifar100")
    assert len(about.superclasses) == 20 and {len(names) for names in about.superclasses.values()} == {5}
    assert sorted(name for names in about.superclasses.values() for name in names) == sorted(about.classes)


def test_a_list_of_classes_is_one_choice_and_a_list_of_lists_an_axis():
    spec = parse(SMALL | {"data": PAIR})
    assert [long_tail(data) for data in spec.data] == [(20, 50), (80, 50), (200, 50)]
    assert {data.title for data in spec.data} == {"fashion-mnist-mini (Shirt, Coat)"}
    both = data_of({"name": "cifar100", "classes": [["fish", "trees"], ["apple", "people", "bear"]]})
    assert [data.classes for data in both] == [("fish", "trees"), ("apple", "people", "bear")]
    assert [dataset_of(data).available for data in both] == [(2500, 2500), (500, 2500, 500)]
    assert dataset_of(both[0]).tested == (500, 500)
    assert "majority 20, minority 50" in label(plan(spec)[0])


def test_a_ratio_and_a_total_are_shared_among_the_chosen_classes():
    fixed = data_of(
        {"name": "fashion-mnist-mini", "classes": ["Bag", "Sandal", "Dress"], "train_ratio": 0.25, "total": 70}
    )
    assert [long_tail(data) for data in fixed] == [(40, 20, 10)]


def test_the_minority_is_the_last_half_less_one():
    words = {"name": "fashion-mnist-mini", "classes": ["Bag", "Coat", "Dress"], "majority": 9, "minority": 4}
    assert long_tail(data_of(words)[0]) == (9, 9, 4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"classes": ["Shirt", "Caot"]}, "data.classes: fashion-mnist-mini has no class 'Caot'.*Coat"),
        ({"classes": ["Shirt", "Shirt"]}, "data.classes: 'Shirt' of fashion-mnist-mini would be in it twice"),
        ({"classes": ["Shirt"]}, "data.classes: .*at least 2"),
        ({"classes": "Shirt"}, "data.classes: .*valid tuple"),
        ({"name": "cifar100", "classes": ["people", "boy"]}, "data.classes: 'boy' of cifar100 would be in it twice"),
        ({"name": "cifar100", "classes": ["people", "tree"]}, "has no class or superclass 'tree'.*'trees'"),
        ({"majority": 40}, "majority: give majority and minority together"),
        ({"majority": 40, "minority": 4, "head": 10}, "leave head out"),
        ({"majority": 40, "minority": 4, "train_ratio": 0.1}, "leave train_ratio out"),
        ({"majority": 40, "minority": 4, "profile": "exp"}, "leave profile out"),
        ({"majority": 0, "minority": 4}, "data.majority: .*greater than or equal to 1"),
        ({"majority": 700, "minority": 4}, "majority: 700 of each class; 600 is the most that can be had"),
        ({"majority": 7, "minority": 601}, "minority: 601 of each class; 600 is the most that can be had"),
        ({"total": 9000}, "asks for more of a class than there is; the largest total that can be had is 1[0-9]{3}"),
        ({"total": 12}, "of 12 images, class [0-9] would get none at factor 100"),
    ],
)
def test_a_mistake_is_one_line(words, said):
    with pytest.raises((SpecError, DataError), match=said) as caught:
        for data in data_of({"name": "fashion-mnist-mini"} | words):
            long_tail(data)
    assert "\n" not in str(caught.value)


def test_the_largest_total_that_is_named_can_be_had_and_one_more_cannot():
    with pytest.raises(DataError) as caught:
        long_tail(data_of({"name": "fashion-mnist-mini", "total": 9000})[0])
    most = int(str(caught.value).rpartition(" ")[2])
    kept = long_tail(data_of({"name": "fashion-mnist-mini", "total": most})[0])
    assert sum(kept) == most and max(kept) <= 600
    with pytest.raises(DataError):
        long_tail(data_of({"name": "fashion-mnist-mini", "total": most + 1})[0])


def test_the_images_are_those_of_the_classes_in_the_order_of_the_spec(tmp_path):
    trial = plan(parse(SMALL | {"data": PAIR, "training": {"epochs": 1, "batch_size": 32}}))[1]
    record = run_trial(Job.of(trial), TrialContext(store=str(tmp_path)))
    assert (record.status, record.counts, record.test_counts) == ("complete", (80, 50), (300, 300))
    assert len(record.accuracy["last_ema"]) == 2 and list(faults(record)) == []
    with loading():
        split, pool = split_of(trial, None, True)
        whole = dataset("fashion-mnist-mini").load(None, True)
    assert split.fingerprint == record.data.fingerprint
    for new, name in enumerate(PAIR["classes"]):
        old = dataset("fashion-mnist-mini").classes.index(name)
        assert np.array_equal(pool.train.x[pool.train.y == new], whole.train.x[whole.train.y == old])
        assert np.array_equal(pool.test.x[pool.test.y == new], whole.test.x[whole.test.y == old])
