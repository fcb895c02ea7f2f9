"""The report as LaTeX tables."""

from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate, pairwise

import pandas as pd

from ..tables.grid import SUPERSCRIPT, Table
from ..tables.report_tables import View, tables
from .text import plain

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


def _in_latex(text: str) -> str:
    return "".join(LATEX.get(c, c) if c in SAFE_IN_LATEX else f"{{[}}U+{ord(c):04X}{{]}}" for c in plain(text))


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
