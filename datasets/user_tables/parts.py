"""Parts: which rows of a table are tested on, by its column ``split``, or carved from it class by class."""

from __future__ import annotations

import numpy as np

from ..catalog import DataError
from ..group_split import CARVE_SEED, FOLDS, test_groups
from ..user_images.source import PARTS
from .cells import Cells, RawTable


def tested(rows: RawTable, label: Cells, split: Cells | None, groups: Cells | None) -> tuple[np.ndarray, str]:
    """Whether each row is a test row (N,), and in a sentence how that was decided.

    Rows for validation are trained on, since validation is carved from the pool; where there are none for testing,
    they are those. Without a split a fifth of each class is drawn by a fixed seed, of groups whole ones.

    Args:
        rows: The table.
        label: Its column of labels, without a missing one.
        split: Its column that says the part, if it has one.
        groups: Its column of groups, if it has one.

    Raises:
        DataError: where a class would have rows on one side only, or a group stands on both.
    """
    names = _parts(rows, split)
    if "test" in names:
        test, how = names == "test", "the test rows are those that the table says"
        how += "; those for validation were added to the training rows" if "val" in names else ""
    elif "val" in names:
        test, how = names == "val", "the test rows are those for validation, since none are said to be for testing"
    else:
        _check_rows(label, groups)
        test = _carved(label, groups)
        whole = ", whole groups on one side" if groups else ""
        how = f"the test rows are a fifth of each class, drawn by a fixed seed{whole}"
    if test.all():
        raise DataError(f"{rows.file} has rows for testing, and none for training")
    _check_sides(label, test)
    _check_groups(groups, test)
    return test, how


def _parts(rows: RawTable, split: Cells | None) -> np.ndarray:
    """The part of each row (N,), ``train``, ``val`` or ``test``; nothing where none is said."""
    if split is None:
        return np.array([""])
    known = [PARTS.get(word.lower(), "") for word in split.texts]
    wrong = np.array([not word for word in known] + [True])[split.codes]
    if wrong.any():
        at = np.flatnonzero(wrong)
        word = split.texts[split.codes[at[0]]] if split.codes[at[0]] >= 0 else ""
        raise DataError(f"{rows.where(at)}: unknown split {word!r}: train, val or test is expected")
    return np.array(known)[split.codes]


def _carved(label: Cells, groups: Cells | None) -> np.ndarray:
    test = np.zeros(len(label.codes), bool)
    if groups is not None:
        try:
            test[test_groups(np.array(label.texts)[label.codes], groups.codes, groups.texts, "rows")] = True
        except ValueError as error:
            raise DataError(str(error)) from None
        return test
    for code, name in enumerate(label.texts):
        members = np.flatnonzero(label.codes == code)
        drawn = np.random.default_rng([CARVE_SEED, *name.encode()]).permutation(members)
        test[drawn[: max(1, round(len(members) / FOLDS))]] = True
    return test


def _check_rows(label: Cells, groups: Cells | None) -> None:
    sizes = np.bincount(label.codes, minlength=len(label.texts))
    if groups is None and sizes.min() < 2:
        raise DataError(
            f"class {label.texts[int(sizes.argmin())]!r} has a single row: at least two are needed, one to train "
            "on and one to test on"
        )


def _check_sides(label: Cells, test: np.ndarray) -> None:
    for part, has, lacks in ((~test, "test", "training"), (test, "training", "test")):
        sizes = np.bincount(label.codes[part], minlength=len(label.texts))
        if not sizes.all():
            name = label.texts[int(sizes.argmin())]
            raise DataError(f"class {name!r} has {has} rows and no {lacks} rows: add some, or leave the class out")


def _check_groups(groups: Cells | None, test: np.ndarray) -> None:
    if groups is None:
        return
    shared = np.intersect1d(groups.codes[test], groups.codes[~test])
    if len(shared):
        more = f"; {len(shared)} groups in all" if len(shared) > 1 else ""
        raise DataError(
            f"group {groups.texts[shared[0]]!r} has training and test rows{more}: a group must stand on one side"
        )
