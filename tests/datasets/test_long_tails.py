"""Long tails: the published counts; and the subsets that are cut by them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailboard.datasets import longtail
from tailboard.datasets.split import Images, Pool, cut, natural_validation

# ---- long tails -------------------------------------------------------------------------------------------------

CIFAR10_TAILS = {
    10: [5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500],
    50: [5000, 3237, 2096, 1357, 878, 568, 368, 238, 154, 100],
    100: [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50],
}
CINIC10_TAILS = {
    100: [9000, 5395, 3234, 1938, 1162, 696, 417, 250, 150, 90],
    1000: [9000, 4177, 1938, 900, 417, 193, 90, 41, 19, 9],
}


def tail(classes, head, imbalance_factor, profile="exp"):
    return longtail.counts(profile, [head] * classes, head, imbalance_factor)


def sizes(groups):
    return tuple(groups.count(name) for name in ("many", "med", "few"))


@pytest.mark.parametrize(("head", "tails"), [(5000, CIFAR10_TAILS), (9000, CINIC10_TAILS)])
def test_exponential_counts_of_ten_classes_are_the_published_ones(head, tails):
    for imbalance_factor, expected in tails.items():
        assert tail(10, head, imbalance_factor) == tuple(expected)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((10, 5000, 10), (20431, 500, (10, 0, 0))),
        ((10, 5000, 50), (13996, 100, (9, 1, 0))),
        ((10, 5000, 100), (12406, 50, (8, 2, 0))),
        ((100, 500, 10), (19573, 50, (69, 31, 0))),
        ((100, 500, 50), (12608, 10, (41, 41, 18))),
        ((100, 500, 100), (10847, 5, (35, 35, 30))),
        ((10, 9000, 10), (36779, 900, (10, 0, 0))),
        ((10, 9000, 50), (25197, 180, (10, 0, 0))),
        ((10, 9000, 100), (22332, 90, (9, 1, 0))),
        ((10, 9000, 200), (20168, 45, (8, 2, 0))),
        ((10, 9000, 450), (18240, 20, (7, 3, 0))),
        ((10, 9000, 451), (18234, 19, (7, 2, 1))),
        ((10, 9000, 1000), (16784, 9, (6, 2, 2))),
    ],
)
def test_totals_and_shots_are_the_published_ones(arguments, expected):
    counts = tail(*arguments)
    assert (sum(counts), counts[-1], sizes(longtail.shots(counts))) == expected


def test_cifar100_counts_at_both_ends():
    assert tail(100, 500, 10)[:5] + tail(100, 500, 10)[-5:] == (500, 488, 477, 466, 455, 54, 53, 52, 51, 50)
    assert tail(100, 500, 50)[-5:] == (11, 11, 10, 10, 10)
    assert tail(100, 500, 100)[:5] + tail(100, 500, 100)[-5:] == (500, 477, 455, 434, 415, 6, 5, 5, 5, 5)


def test_step_keeps_the_first_half_whole():
    assert tail(10, 5000, 100, "step") == (5000,) * 5 + (50,) * 5
    assert tail(3, 10, 3, "step") == (10, 3, 3)


def test_train_ratio_is_the_inverse_of_the_imbalance_factor():
    for ratio in (1, 0.5, 0.1, 0.01, 0.001):
        assert min(tail(10, 9000, longtail.factor(ratio))) == round(9000 * ratio)


@given(
    profile=st.sampled_from(longtail.PROFILES),
    available=st.lists(st.integers(1, 10_000), min_size=2, max_size=120),
    head=st.integers(1, 10_000),
    share=st.floats(0, 1),
)
def test_counts_fall_from_head_to_head_over_factor(profile, available, head, share):
    largest = min(head, available[0])
    imbalance_factor = 1 + share * (largest - 1)
    counts = longtail.counts(profile, available, head, imbalance_factor)
    assert all(1 <= count <= limit for count, limit in zip(counts, available, strict=True))
    unlimited = longtail.counts(profile, [largest] * len(available), head, imbalance_factor)
    assert list(unlimited) == sorted(unlimited, reverse=True)
    assert unlimited[0] == largest
    assert unlimited[-1] == pytest.approx(largest / imbalance_factor, abs=1)
    assert set(longtail.counts(profile, [largest] * len(available), head, 1)) == {largest}


@given(root=st.integers(2, 5), classes=st.integers(2, 8))
def test_whole_numbers_survive_floating_point(root, classes):
    head = root ** (classes - 1)
    assert tail(classes, head, head) == tuple(root**i for i in reversed(range(classes)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("expo", [9, 9], 9, 3), "unknown imbalance profile 'expo'"),
        (("exp", [9], 9, 3), "at least two classes"),
        (("exp", [9, 9], 9, 0.5), "at least 1"),
        (("exp", [9, 9], 9, float("nan")), "at least 1"),
        (("exp", [9, 0], 9, 3), "every class needs images"),
        (("exp", [9, 9, 9], 9, 10), "class 2 would get 0 training images .* at most 9"),
        (("step", [9, 9, 9], 9, 10), "class 1 would get 0 training images .* at most 9"),
    ],
)
def test_bad_tails_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        longtail.counts(*arguments)


@given(available=st.lists(st.integers(1, 60), min_size=2, max_size=30), share=st.floats(0, 1))
def test_a_natural_total_leaves_no_class_empty_and_keeps_the_order_of_all_but_one(available, share):
    total = len(available) + int(share * (sum(available) - len(available)))
    kept = longtail.proportional(available, total)
    assert sum(kept) == total
    assert all(1 <= count <= limit for count, limit in zip(kept, available, strict=True))
    pairs = sorted(zip(available, kept, strict=True))  # the order is kept but for the one class that gives
    counts = [[count for _, count in pairs[:left] + pairs[left + 1 :]] for left in range(len(pairs))]
    assert any(each == sorted(each) for each in counts)


def test_what_one_image_each_adds_is_taken_from_the_largest_classes():
    assert longtail.proportional([3, 3, 3, 1, 1, 1, 1], 7) == (1,) * 7
    assert longtail.proportional([10] * 3 + [1] * 7, 10) == (1,) * 10
    assert longtail.proportional([20, 20, 1, 1, 1, 1], 7) == (2, 1, 1, 1, 1, 1)
    assert longtail.proportional([900, 90, 5, 5], 50) == (43, 5, 1, 1), "the largest gives all where it can"
    with pytest.raises(ValueError, match="a total from 7 to 13 can be had, not 6"):
        longtail.proportional([3, 3, 3, 1, 1, 1, 1], 6)


@pytest.mark.parametrize("ratio", [0, -0.1, 1.1, float("nan")])
def test_bad_train_ratios_are_refused(ratio):
    with pytest.raises(ValueError, match="train_ratio"):
        longtail.factor(ratio)


def test_shots_put_both_boundaries_in_med():
    assert longtail.shots([101, 100, 20, 19]) == ("many", "med", "med", "few")


def test_terciles_of_ten_classes_are_three_four_three_by_rank():
    assert longtail.terciles(CINIC10_TAILS[100]) == ("many",) * 3 + ("med",) * 4 + ("few",) * 3
    assert longtail.terciles([1, 3, 2]) == ("few", "many", "med")
    assert sizes(longtail.terciles([5] * 100)) == (33, 34, 33)


# ---- subsets ----------------------------------------------------------------------------------------------------


def numbered(per_class, classes=3):
    """A pool whose images are numbered, so that each can be recognised."""
    y = np.tile(np.arange(classes), per_class)
    images = Images(np.arange(len(y), dtype=np.uint8).reshape(-1, 1, 1, 1), y)
    return Pool(images, images, verified=True)


def names(images):
    return images.x.ravel().tolist()


def test_a_subset_is_drawn_by_seed_without_replacement():
    pool = numbered(20)
    split = cut(pool, [12, 6, 3], seed=1)
    assert len(set(names(split.train))) == len(split.train) == 21
    assert np.bincount(split.train.y).tolist() == [12, 6, 3]
    assert (split.train.y == split.train.x.ravel() % 3).all()
    assert cut(pool, [12, 6, 3], seed=1).fingerprint == split.fingerprint
    assert cut(pool, [12, 6, 3], seed=2).fingerprint != split.fingerprint
    assert split.val is None


def test_validation_is_balanced_and_shares_nothing_with_training():
    split = cut(numbered(20), [12, 6, 3], seed=1, val_per_class=5)
    assert split.val is not None
    assert np.bincount(split.val.y).tolist() == [5, 5, 5]
    assert not set(names(split.val)) & set(names(split.train))


def test_natural_validation_has_the_tails_proportions_and_leaves_training_as_it_is():
    even, natural = (cut(numbered(20), [12, 6, 3], seed=1, val_per_class=5, natural=word) for word in (False, True))
    assert np.bincount(natural.val.y).tolist() == [5, 2, 1] == list(natural_validation([12, 6, 3], 5))
    assert names(natural.train) == names(even.train)
    assert set(names(natural.val)) < set(names(even.val))
    assert natural_validation([500, 60, 5], 50) == (50, 6, 1)
    assert natural_validation([500, 5], 10) == (10, 1)


def test_a_longer_tail_is_a_subset_of_a_shorter_one():
    short, long = (cut(numbered(20), counts, seed=3, val_per_class=2) for counts in ([12, 9, 6], [12, 6, 3]))
    assert set(names(long.train)) < set(names(short.train))
    assert names(long.val) == names(short.val)


def test_more_than_there_is_cannot_be_cut():
    with pytest.raises(ValueError, match="class 1 has 20 training images, but 18 for training and 3 for valid"):
        cut(numbered(20), [9, 18, 9], seed=0, val_per_class=3)
