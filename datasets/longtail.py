"""Long tails: how many training images each class keeps, and which classes are few, med and many.

The profiles are those of the literature (Cui et al. 2019, Cao et al. 2019): ``imbalance_factor`` (IF) is the
largest class over the smallest, classes are taken in label order, and the counts are truncated to integers.
"""

from __future__ import annotations

from collections.abc import Sequence

PROFILES = ("exp", "step")


def counts(profile: str, available: Sequence[int], head: int, imbalance_factor: float) -> tuple[int, ...]:
    """Training images of each class, in label order; never more than ``available`` of that class.

    With n = min(head, available[0]) and C classes, ``exp`` gives class i ``int(n * IF ** (-i / (C - 1)))``;
    ``step`` gives the first C // 2 classes n and the others ``int(n / IF)``.

    Raises ValueError for an unknown profile, fewer than two classes, a factor below 1, or a class that would be empty.

    Args:
        profile: ``exp`` or ``step``.
        available: The images that there are of each class, in label order.
        head: The most images of the largest class.
        imbalance_factor: The largest class over the smallest, at least 1.
    """
    if profile not in PROFILES:
        raise ValueError(f"unknown imbalance profile {profile!r}: choose one of {', '.join(PROFILES)}")
    if len(available) < 2:
        raise ValueError(f"a long tail needs at least two classes, got {len(available)}")
    if not imbalance_factor >= 1:  # written so that NaN is refused too
        raise ValueError(f"imbalance_factor must be at least 1 (balanced), got {imbalance_factor}")
    classes, largest = len(available), min(head, available[0])
    if min(largest, *available) < 1:
        raise ValueError(f"every class needs images: head is {head}, available are {list(available)}")
    if profile == "exp":
        exponents = [i / (classes - 1) for i in range(classes)]
    else:
        exponents = [float(i >= classes // 2) for i in range(classes)]
    kept = tuple(
        min(_truncate(largest * imbalance_factor**-exponent), limit)
        for exponent, limit in zip(exponents, available, strict=True)
    )
    if 0 in kept:
        raise ValueError(
            f"class {kept.index(0)} would get 0 training images at imbalance factor {imbalance_factor:g}: "
            f"with {largest} in the largest class the factor can be at most {largest}"
        )
    return kept


def shared(profile: str, classes: int, total: int, imbalance_factor: float) -> tuple[int, ...]:
    """A total of training images shared among classes in proportion to the profile, by largest remainders.

    ``exp`` gives class i the share IF ** (-i / (C - 1)); ``step`` gives the first C // 2 classes 1 and the others
    1 / IF. The counts add up to ``total`` at every factor.

    Raises ValueError where a class would be empty.

    Args:
        profile: ``exp`` or ``step``.
        classes: How many.
        total: Training images of all classes.
        imbalance_factor: The largest share over the smallest, at least 1.
    """
    if profile == "exp":
        shares = [imbalance_factor ** (-i / (classes - 1)) for i in range(classes)]
    else:
        shares = [1.0 if i < classes // 2 else 1 / imbalance_factor for i in range(classes)]
    kept = _largest_remainders(shares, total)
    if 0 in kept:
        raise ValueError(f"of {total} images, class {kept.index(0)} would get none at factor {imbalance_factor:g}")
    return tuple(kept)


def proportional(available: Sequence[int], total: int) -> tuple[int, ...]:
    """A total of training images shared among classes as they are frequent, by largest remainders, at least one each.

    What that adds is taken from the largest class; where it has not so many to give, from the largest that is left,
    one at a time, of equal ones the class with the fewest images. ValueError where there are not so many, or fewer than
    classes.
    """
    if not len(available) <= total <= sum(available):
        raise ValueError(f"a total from {len(available)} to {sum(available)} can be had, not {total}")
    kept = [max(1, count) for count in _largest_remainders(available, total)]
    added = sum(kept) - total
    if max(kept) > added:
        kept[kept.index(max(kept))] -= added
        return tuple(kept)
    for _ in range(added):
        kept[max(range(len(kept)), key=lambda label: (kept[label], -available[label], label))] -= 1
    return tuple(kept)


def _largest_remainders(shares: Sequence[float], total: int) -> list[int]:
    """Whole numbers in proportion to shares, which add up to the total."""
    exact = [total * share / sum(shares) for share in shares]
    kept = [int(n) for n in exact]
    for label in sorted(range(len(kept)), key=lambda label: (kept[label] - exact[label], label))[: total - sum(kept)]:
        kept[label] += 1
    return kept


def factor(train_ratio: float) -> float:
    """The imbalance factor of a train ratio r = rarest / most frequent class, in (0, 1].

    Raises ValueError for a ratio outside (0, 1].
    """
    if not 0 < train_ratio <= 1:
        raise ValueError(f"train_ratio must be above 0 and at most 1 (balanced), got {train_ratio}")
    return 1 / train_ratio


def shots(counts: Sequence[int], few: int = 20, many: int = 100) -> tuple[str, ...]:
    """The group of each class by its training images: "few" below 20, "many" above 100, "med" between.

    The boundaries are those of Liu et al. 2019 (Large-Scale Long-Tailed Recognition): 20 and 100 are both "med".

    Args:
        counts: Training images of each class, in label order.
        few: The fewest images of a class that is not few.
        many: The most images of a class that is not many.
    """
    return tuple("few" if n < few else "many" if n > many else "med" for n in counts)


def terciles(counts: Sequence[int]) -> tuple[str, ...]:
    """The group of each class by its rank: the largest third "many", the smallest third "few" (3/4/3 of ten).

    An alternative to ``shots`` for tails whose rarest class has 20 images or more; equal counts keep label order.
    """
    third = round(len(counts) / 3)
    ranked = sorted(range(len(counts)), key=lambda label: -counts[label])
    groups = ["med"] * len(counts)
    for rank, label in enumerate(ranked):
        if rank < third:
            groups[label] = "many"
        elif rank >= len(counts) - third:
            groups[label] = "few"
    return tuple(groups)


def _truncate(value: float) -> int:
    """``int(value)``, except that 899.9999999999999 (9000 * 0.001 ** (3 / 9) in floats) is 900."""
    return int(value * (1 + 1e-12))
