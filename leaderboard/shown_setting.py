"""The words of a setting as a reader is shown them."""

import re

LONG = re.compile(r"\d+\.\d{10,}")


def shown_setting(setting: str) -> str:
    """The words with each number that a ratio gave in five digits: ``IF 33.333`` for ``IF 33.333333333333336``. Rows,
    files for programs and bundles keep the number whole, since it tells one setting from another.

    Args:
        setting: As the column `setting` of the tidy table has it.
    """
    return LONG.sub(lambda number: f"{float(number[0]):.5g}", setting)


def data_in_setting(dataset: str, setting: str) -> str:
    """A data set and its setting, as a reader is shown them."""
    return ", ".join(filter(None, (dataset, shown_setting(setting))))
