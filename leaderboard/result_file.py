"""A CSV of anybody's results, one line for each value: read, and refused with the line and column that are wrong."""

from pathlib import Path
from warnings import catch_warnings

import pandas as pd

UNITS = ("seed", "item")
COLUMNS = ("dataset", "method", *UNITS, "value")
PACKED = (".gz", ".bz2", ".zip", ".xz", ".zst", ".tar", ".tgz")  # endings
LARGEST_FILE = 512 * 1024**2  # bytes
MOST_LINES = 5_000_000
MOST_DATASETS = 1000
MOST_METHODS = 500
MOST_PLACES = 20_000_000  # of a data set: its methods times its units, where a line may stand
FORM = "columns method, value, seed or item, and dataset where there are several"


def read_results(path: Path) -> pd.DataFrame:
    """The lines of a file: `method`, `value`, either `seed` or `item`, and `dataset` if there are several.

    Args:
        path: CSV in UTF-8, with a line of headers.

    Returns:
        Columns `dataset` (empty where the file has none), `method`, `unit` (the seed or item, as it is written) and
        `value` (a number). The attribute `unit` in `attrs` says which of the two the units are.

    Raises:
        ValueError: one line, which names the file, and the line or column that is wrong.
    """
    table = _text(path)
    unit = _unit(path, list(table.columns))
    if "dataset" not in table:
        table["dataset"] = "results"
    needed = ["dataset", "method", unit, "value"]
    for column in needed:
        _refuse(path, table[column].str.strip() == "", f"{column} is empty")
    values = pd.to_numeric(table["value"], errors="coerce")
    finite = values.abs() < float("inf")
    _refuse(path, ~finite, "value is no finite number", table["value"])
    again = table.duplicated(["dataset", "method", unit])
    _refuse(path, again, f"a method has this {unit} twice", table["method"] + ", " + table[unit])
    results = table[needed].assign(value=values.astype(float)).rename(columns={unit: "unit"})
    _check_sizes(path, results)
    results.attrs["unit"] = unit
    return results


def _check_sizes(path: Path, results: pd.DataFrame) -> None:
    """ValueError where there is nothing to compare, or more than can be."""
    if (datasets := results["dataset"].nunique()) > MOST_DATASETS:
        raise ValueError(f"{path}: {datasets:,} data sets; there may be {MOST_DATASETS:,}")
    counts = results.groupby("dataset", sort=False)[["method", "unit"]].nunique()
    for dataset, methods, units in counts.itertuples(name=None):
        if methods < 2:
            raise ValueError(f"{path}: {str(dataset)[:80]} has one method only: there is nothing to compare")
        if methods > MOST_METHODS or methods * units > MOST_PLACES:
            raise ValueError(
                f"{path}: {str(dataset)[:80]} has {methods:,} methods of {units:,} units; there may be "
                f"{MOST_METHODS} methods and {MOST_PLACES:,} values"
            )


def _text(path: Path) -> pd.DataFrame:
    """The file as text, bounded in bytes and lines."""
    if path.is_dir():
        raise ValueError(f"{path}: a folder; it is to be a CSV with {FORM}")
    if not path.is_file():
        raise ValueError(f"{path}: no such file; it is to be a CSV with {FORM}")
    if path.suffix.lower() in PACKED:
        raise ValueError(f"{path}: packed; unpack it first")
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path}: larger than {LARGEST_FILE // 1024**2} MiB")
    try:
        with catch_warnings(action="error", category=pd.errors.ParserWarning):  # a line longer than the headers
            table = pd.read_csv(
                path,
                dtype=str,
                keep_default_na=False,
                encoding="utf-8-sig",
                nrows=MOST_LINES + 1,
                index_col=False,
                compression=None,  # its size is that of what is read
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: no CSV in UTF-8 ({_why(error)}); it is to have {FORM}") from None
    if len(table) > MOST_LINES:
        raise ValueError(f"{path}: more than {MOST_LINES:,} lines")
    if table.empty:
        raise ValueError(f"{path}: no line below the headers")
    table.columns = table.columns.str.strip()
    return table


def _why(error: Exception) -> str:
    """What pandas found wrong, in a reader's words."""
    if isinstance(error, pd.errors.EmptyDataError):
        return "it is empty"
    if isinstance(error, pd.errors.ParserWarning):
        return "a line has more values than there are headers"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start + 1} is none of it"
    return str(error).strip().splitlines()[-1]


def _unit(path: Path, columns: list[str]) -> str:
    """Whether values are those of seeds or of items."""
    if missing := [name for name in ("method", "value") if name not in columns]:
        raise ValueError(f"{path}: no column {missing[0]!r} in {', '.join(columns)[:80]!r}; it is to have {FORM}")
    if unknown := [name for name in columns if name not in COLUMNS]:
        raise ValueError(f"{path}: unknown column {unknown[0]!r}; it is to have {FORM}")
    units = [name for name in UNITS if name in columns]
    if len(units) != 1:
        what = "both seed and item" if units else "neither seed nor item"
        raise ValueError(f"{path}: {what}: what is paired is one of the two")
    return units[0]


def _refuse(path: Path, wrong: pd.Series, what: str, shown: pd.Series | None = None) -> None:
    """ValueError where a line is wrong, with the number of the first one."""
    if wrong.any():
        place = int(wrong.to_numpy().argmax())
        text = "" if shown is None else f": {str(shown.iloc[place])[:80]!r}"
        raise ValueError(f"{path}: line {place + 2}: {what}{text}")
