"""The report for machines: CSV and JSON with one entry for each cell, Parquet with one row for each trial."""

import csv as lines
import json as strict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pandas as pd

from ..metric import ACCURACY, Metric
from ..results import CELL, COLUMNS, NOTES, arranged, mean_notes, numbered, summarise
from ..statistics.cost import BLOCK, training_costs, trial_costs
from ..tables.differences import beside
from .text import plain, plain_columns, spreadsheet_cell

FIELDS = [*CELL, "mean", "stderr", "n", "planned", "status", "reason", "verified", "std", "ci95", "metric"]
COSTS = ["device_seconds", "erm_trainings"]  # of one training: the columns of what `training_costs` gives
PIECE = 50_000  # lines of a CSV file that are texts of their own at one time
SCHEMA = Path(__file__).with_name("report.schema.json")


def csv(
    rows: pd.DataFrame,
    metric: Metric = ACCURACY,
    versus: str | None = None,
    started: Mapping[str, float] | None = None,
) -> str:
    """The summary in full precision, one line for each cell, columns as in `FIELDS`; NaN is an empty field. What a
    spreadsheet would take for a formula gets an apostrophe.

    Args:
        rows: The tidy table.
        metric: What its values are.
        versus: A method, for which the columns of `differences.beside` follow.
        started: The seconds of the networks that a trial starts from, by its key; the columns `COSTS` follow, but not
            where it is not given.

    Raises:
        ValueError: if the rows are not tidy, or `versus` is not among the methods.
    """
    return "".join(csv_pieces(rows, metric, versus, started))


def csv_pieces(
    rows: pd.DataFrame,
    metric: Metric = ACCURACY,
    versus: str | None = None,
    started: Mapping[str, float] | None = None,
) -> Iterator[str]:
    """The same, some lines at a time: of a million trials the whole takes memory. The arguments and errors are those of
    :func:`csv`.

    Args:
        rows: As of `csv`.
        metric: As of `csv`.
        versus: As of `csv`.
        started: As of `csv`.
    """
    return _pieces(_summary(rows, metric, versus, started))


def _pieces(summary: pd.DataFrame) -> Iterator[str]:
    yield "\n".join([*_lines([list(summary.columns)]), ""])
    for start in range(0, len(summary), PIECE):
        # Not pandas' to_csv or the csv module's writer, which give the same bytes and take several times as long.
        columns = [_written(summary[name].iloc[start : start + PIECE]) for name in summary]
        yield "\n".join([*map(",".join, zip(*columns, strict=True)), ""])


def frame_csv(frame: pd.DataFrame) -> str:
    """A table as CSV in full precision; NaN is an empty field, and no text is taken for a formula."""
    return pd.DataFrame({name: _fields(frame[name]) for name in frame}, dtype=object).to_csv(index=False)


def frame_json(frame: pd.DataFrame) -> str:
    """A table as a JSON list of objects; NaN is null."""
    entries = plain_columns(frame).astype(object)
    records = entries.where(entries.notna(), None).to_dict("records")
    return strict.dumps(records, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def json(
    rows: pd.DataFrame,
    metric: Metric = ACCURACY,
    versus: str | None = None,
    further: Sequence[tuple[pd.DataFrame, Metric]] = (),
    started: Mapping[str, float] | None = None,
) -> str:
    """What `csv` says as a list of objects, one for each cell; NaN is null. The file at `SCHEMA` is its JSON Schema.
    A cell whose trials noted how far parts of their method acted has the mean of each note over them.

    Args:
        rows: As of `csv`.
        metric: As of `csv`.
        versus: As of `csv`.
        further: The same rows by other metrics, whose cells follow; each entry says of which metric it is.
        started: As of `csv`.

    Raises:
        ValueError: if the rows are not tidy, or `versus` is not among the methods.
    """
    entries = [entry for each in ((rows, metric), *further) for entry in _entries(*each, versus, started)]
    return strict.dumps(entries, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _entries(
    rows: pd.DataFrame, metric: Metric, versus: str | None, started: Mapping[str, float] | None
) -> list[dict[Hashable, object]]:
    summary = plain_columns(_summary(rows, metric, versus, started)).astype(object)
    entries = summary.where(summary.notna(), None).to_dict("records")
    for entry, notes in zip(entries, _notes(rows, summary), strict=True):
        entry.update({"notes": {plain(name): value for name, value in notes.items()}} if notes else {})
    return entries


def _notes(rows: pd.DataFrame, summary: pd.DataFrame) -> list[dict[str, float]]:
    """The means of the notes of each cell's trials that are in its mean, seeds ascending."""
    if NOTES not in rows:
        return [{}] * len(summary)
    noted = rows[rows["value"].notna() & (rows[NOTES] != "")].sort_values("seed")
    cells = {cell: mean_notes(texts) for cell, texts in noted.groupby(CELL, sort=False, observed=True)[NOTES]}
    return [cells.get(cell, {}) for cell in summary[CELL].itertuples(index=False, name=None)]


def _summary(
    rows: pd.DataFrame, metric: Metric, versus: str | None, started: Mapping[str, float] | None
) -> pd.DataFrame:
    summary = summarise(rows, metric).assign(metric=metric.name)[FIELDS]
    summary = summary if versus is None else beside(summary, rows, versus, metric)
    if started is None:
        return summary
    costs = training_costs(rows, started).rename(columns={"erm": "erm_trainings"})
    return _with(summary, costs, [*BLOCK, "method"], COSTS)


def _with(table: pd.DataFrame, costs: pd.DataFrame, on: list[str], names: list[str]) -> pd.DataFrame:
    """The table with the named columns of what some words tell; NaN where they have no finite one, since a record may
    say anything. A trial that stands in two rows costs the same in both."""
    number = numbered(table, on)
    words = table[on].iloc[np.unique(number, return_index=True)[1]]  # each once: of many lines they are far fewer
    found = costs.drop_duplicates(on).set_index(on)[names].reindex(pd.MultiIndex.from_frame(words.astype(str)))
    return table.assign(**{name: found[name].where(np.isfinite(found[name])).to_numpy()[number] for name in names})


def parquet(rows: pd.DataFrame, metric: Metric = ACCURACY, started: Mapping[str, float] | None = None) -> bytes:
    """The tidy rows themselves, one for each trial and shot group, as a Parquet file: the columns of `results.COLUMNS`
    and `metric`, the name of what `value` is.

    Args:
        rows: The tidy table.
        metric: What its values are.
        started: As of `csv`; of a trial the column `erm_trainings` follows.

    Raises:
        ValueError: if the rows are not tidy.
    """
    file = BytesIO()
    table = arranged(rows, metric).assign(metric=metric.name)[[*COLUMNS, "metric"]]
    if started is not None:
        costs = trial_costs(rows, started).rename(columns={"erm": "erm_trainings"})
        table = _with(table, costs, ["key", "protocol"], ["erm_trainings"])
    plain_columns(table).to_parquet(file, engine="pyarrow", index=False)
    return file.getvalue()


def _written(column: pd.Series) -> Sequence[str]:
    """The fields of a CSV file."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind == "f":
        texts, is_known = np.full(len(column), "", object), column.notna().to_numpy()
        texts[is_known] = [*map(repr, column.to_numpy()[is_known].tolist())]
        return texts.tolist()
    codes, words = pd.factorize(column)  # few words are many fields
    cells = ([spreadsheet_cell(word) if isinstance(word, str) else word, ""] for word in words)  # each of one line
    return np.array([*(field[:-1] for field in _lines(cells)), ""], object)[codes].tolist()


def _lines(rows: Iterable[Sequence[object]]) -> list[str]:
    file = StringIO()
    lines.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue().split("\n")[:-1]


def _fields(column: pd.Series) -> list[object]:
    values = column.astype(object).where(column.notna(), "").tolist()
    cells = {text: spreadsheet_cell(text) for text in {value for value in values if isinstance(value, str)}}
    return [cells[value] if isinstance(value, str) else value for value in values]
