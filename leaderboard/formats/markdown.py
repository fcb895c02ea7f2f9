"""The leaderboard in its formats. Pure functions of the tidy rows: the same rows give the same bytes."""

import csv as lines
import json as strict
from collections.abc import Collection, Iterator, Sequence
from io import BytesIO, StringIO
from itertools import accumulate, pairwise
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from ..metric import ACCURACY, Metric
from ..results import CELL, COLUMNS, arranged, summarise
from ..tables.differences import beside
from ..tables.grid import SUPERSCRIPT, Table
from ..tables.report_tables import View, tables

FIELDS = [*CELL, "mean", "stderr", "n", "planned", "status", "reason", "verified", "std", "ci95", "metric"]
SCHEMA = Path(__file__).with_name("report.schema.json")
MARKDOWN = {c: f"\\{c}" for c in "\\`*_[]|~#"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
LATEX = (
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
    | {"[": "{[}", "]": "{]}", "*": "{*}"}  # after \\ a bracket or a star would be read as its argument
    | {"±": r"$\pm$", "×": r"$\times$", "−": "$-$", "–": "--", "≤": r"$\leq$", "≥": r"$\geq$"}
    | {"ρ": r"$\rho$", "ε": r"$\varepsilon$", "λ": r"$\lambda$", "γ": r"$\gamma$", "β": r"$\beta$"}
    | {chr(raised): rf"\textsuperscript{{{chr(digit)}}}" for digit, raised in SUPERSCRIPT.items()}
)
SAFE_IN_LATEX = {*LATEX, *map(chr, range(32, 127)), *"äöüÄÖÜßáéíóúàèùâêîôûçñåøæÅØÆÉ"}


def markdown(
    rows: pd.DataFrame,
    versus: str | None = None,
    published: pd.DataFrame | None = None,
    notes: Sequence[str] = (),
    more: Sequence[Table] = (),
    view: View | None = None,
) -> str:
    """The report as GitHub's Markdown, also fit for a terminal: a section for each table, captioned.

    Args:
        rows: The tidy table (see `results.check`).
        versus: A method; adds a table of every other method's difference from it, with the verdicts.
        published: Quoted rows (see `published`); each source gets a section of its own.
        notes: Plain sentences for the caption of the measured tables, such as what was spent.
        more: Tables that follow the measured ones.
        view: What follows ±, and what the values are; by default the standard error of accuracies.

    Raises:
        ValueError: if the rows are not tidy, or `versus` is not among the methods.
    """
    return "\n\n".join(_markdown_section(table) for table in tables(rows, versus, published, notes, more, view)) + "\n"


def latex(
    rows: pd.DataFrame,
    versus: str | None = None,
    published: pd.DataFrame | None = None,
    notes: Sequence[str] = (),
    more: Sequence[Table] = (),
    view: View | None = None,
) -> str:
    """The report as LaTeX tables to `\\input`; the preamble needs the packages booktabs and graphicx.

    The arguments and errors are those of `markdown`. Bold are the best of each column and what is not separable from
    it (see `leaders`). Text is escaped; a character that pdflatex does not have
    is written as its code point, such as [U+4E2D].
    """
    heading = "% Written by tailboard; needs \\usepackage{booktabs,graphicx}."
    return "\n\n".join([heading, *map(_latex_table, tables(rows, versus, published, notes, more, view, True))]) + "\n"


def csv(rows: pd.DataFrame, metric: Metric = ACCURACY, versus: str | None = None) -> str:
    """The summary in full precision, one line for each cell, columns as in `FIELDS`; NaN is an empty field. With
    `versus` a method, the columns of `compared.beside` follow.

    Raises:
        ValueError: if the rows are not tidy, or `versus` is not among the methods.
    """
    summary = _summary(rows, metric, versus)
    file = StringIO()
    writer = lines.writer(file, lineterminator="\n")
    writer.writerow(summary.columns)
    # Not pandas' to_csv, which gives the same bytes and takes three times as long.
    writer.writerows(zip(*(_fields(summary[name]) for name in summary), strict=True))
    return file.getvalue()


def json(rows: pd.DataFrame, metric: Metric = ACCURACY, versus: str | None = None) -> str:
    """What `csv` says as a list of objects, one for each cell; NaN is null. The file at `SCHEMA` is its JSON Schema.

    Raises:
        ValueError: if the rows are not tidy, or `versus` is not among the methods.
    """
    summary = _summary(rows, metric, versus).astype(object)
    entries = summary.where(summary.notna(), None).to_dict("records")
    return strict.dumps(entries, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _summary(rows: pd.DataFrame, metric: Metric, versus: str | None) -> pd.DataFrame:
    summary = summarise(rows, metric).assign(metric=metric.name)[FIELDS]
    return summary if versus is None else beside(summary, rows, versus, metric)


def parquet(rows: pd.DataFrame, metric: Metric = ACCURACY) -> bytes:
    """The tidy rows themselves, one for each trial and shot group, as a Parquet file: the columns of `results.COLUMNS`
    and `metric`, the name of what `value` is.

    Raises:
        ValueError: if the rows are not tidy.
    """
    file = BytesIO()
    columns = [*COLUMNS, "metric"]
    arranged(rows, metric).assign(metric=metric.name)[columns].to_parquet(file, engine="pyarrow", index=False)
    return file.getvalue()


def _fields(column: pd.Series) -> list[object]:
    return column.astype(object).where(column.notna(), "").tolist()


def plain(text: str) -> str:
    """One line without control characters: they could move a terminal's cursor or break a table."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _in_markdown(text: str) -> str:
    return "".join(MARKDOWN.get(c, c) for c in plain(text))


def _in_latex(text: str) -> str:
    return "".join(LATEX.get(c, c) if c in SAFE_IN_LATEX else f"{{[}}U+{ord(c):04X}{{]}}" for c in plain(text))


def _markdown_section(table: Table) -> str:
    """Markdown has one line of headers: a single span goes into the title, several before each group."""
    title, header = table.title, [f"{span}: {group}" for span, groups in table.spans for group in groups]
    if len(table.spans) == 1:
        (span, groups) = table.spans[0]
        title, header = ", ".join(filter(None, [title, span])), list(groups)
    grid = tabulate(
        [[_in_markdown(text) for text in row] for row in table.body],
        headers=[_in_markdown(text) for text in (*table.head, *header)],
        tablefmt="pipe",
        disable_numparse=True,
        colalign=(*["left"] * len(table.head), *["right"] * len(header)),
    )
    remarks = "\n".join(f"- {_in_markdown(remark)}" for remark in (*table.footnotes, *table.caption))
    return f"### {_in_markdown(title)}\n\n{grid}\n\n{remarks}"


def _latex_table(table: Table) -> str:
    """A float with one header over the groups of each data set, as in the paper's Table 5."""
    title = _in_latex(table.title)
    ends = list(accumulate((len(groups) for _, groups in table.spans), initial=len(table.head)))
    spans = [rf"\multicolumn{{{len(groups)}}}{{c}}{{{_in_latex(span)}}}" for span, groups in table.spans]
    rules = [rf"\cmidrule(lr){{{start + 1}-{end}}}" for start, end in pairwise(ends)]
    above = [" & ".join([*[""] * len(table.head), *spans]) + r" \\", " ".join(rules)]
    groups = [_in_latex(text) for text in (*table.head, *(group for _, groups in table.spans for group in groups))]
    lines = [
        r"\begin{table}",
        r"\centering\small",
        rf"\caption[{title}]{{{title}. {_in_latex(' '.join(table.caption))}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",  # shrink to the line, never stretch
        rf"\begin{{tabular}}{{{'l' * len(table.head)}{'r' * (ends[-1] - len(table.head))}}}",
        r"\toprule",
        *(above if any(span for span, _ in table.spans) else []),
        " & ".join(groups) + r" \\",
        r"\midrule",
        *(" & ".join(_row_in_latex(row, i, table.bold)) + r" \\" for i, row in enumerate(table.body)),
        r"\bottomrule",
        r"\end{tabular}}",
        *(rf"\par\footnotesize {_in_latex(footnote)}" for footnote in table.footnotes),
        r"\end{table}",
    ]
    return "\n".join(lines)


def _row_in_latex(row: Sequence[str], i: int, bold: Collection[tuple[int, int]]) -> Iterator[str]:
    for j, text in enumerate(row):
        yield rf"\textbf{{{_in_latex(text)}}}" if (i, j) in bold else _in_latex(text)
