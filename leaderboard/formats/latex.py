"""The report as LaTeX tables, for a paper."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import pandas as pd

from ..metric import GROUPS
from ..tables.grid import SUPERSCRIPT, Table
from ..tables.leaders import EMPHASIS
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
COMMANDS = {"bold": r"\textbf", "underlined": r"\underline"}
# A file that no \documentclass came before makes a document of itself: it compiles alone, and inside a paper.
OPENING = r"""% Written by tailboard; a paper that inputs it needs \usepackage{booktabs,graphicx}.
\expandafter\ifx\csname @classoptionslist\endcsname\relax
\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}\def\tailboardend{\end{document}}
\else\let\tailboardend\relax\fi"""
CLOSING = r"\tailboardend"
NO_COLUMN = "left out, since no class is in the groups that were asked for"


@dataclass(frozen=True)
class LatexOptions:
    """How the tables of the means are printed.

    Args:
        bold: A word of ``EMPHASIS``: ``best`` prints the best of each column bold and underlines what is not separable
            from it, ``separable`` prints both bold, ``none`` neither.
        caption: In place of the caption of two sentences; plain text.
        label: The label of the first table; a second gets ``LABEL-2``.
        groups: The groups that are shown, such as ``("few", "all")``; all where empty. A table without any of them is
            left out, and a comment says so.
        methods: The methods that are shown, in this order; all where empty. What is emphasised depends on all.
        decimals: Digits after the point; those of the metric where None.
        tabular_only: Only ``tabular``, without float, caption and notes.
    """

    bold: str = "best"
    caption: str | None = None
    label: str | None = None
    groups: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    decimals: int | None = None
    tabular_only: bool = False

    def __post_init__(self) -> None:
        if self.bold not in EMPHASIS:
            raise ValueError(f"bold: {self.bold!r} is not one of {', '.join(EMPHASIS)}")
        for group in self.groups:
            if group not in GROUPS:
                raise ValueError(f"columns: {group!r} is not one of {', '.join(GROUPS)}")
        if self.decimals is not None and not 0 <= self.decimals <= 6:
            raise ValueError(f"decimals: {self.decimals} is not from 0 to 6")


def latex(
    rows: pd.DataFrame,
    versus: str | None = None,
    published: pd.DataFrame | None = None,
    notes: Sequence[str] = (),
    more: Sequence[Table] = (),
    view: View | None = None,
    options: LatexOptions | None = None,
) -> str:
    """The report as LaTeX, to compile alone or to `\\input`; the preamble then needs booktabs and graphicx.

    The other arguments and errors are those of `markdown`. Each float has a caption of two sentences; what else there
    is to say stands below its table. Text is escaped; a character that pdflatex does not have is written as its code
    point, such as [U+4E2D].

    Args:
        rows: The tidy rows.
        versus: A method to compare each other with.
        published: Numbers of papers to stand beside the measured ones.
        notes: Sentences for the captions.
        more: Tables that follow.
        view: What the numbers are and how they are shown; None for accuracies with their standard errors.
        options: How the tables look; None for all defaults.
    """
    options, view = options or LatexOptions(), view or View()
    if options.decimals is not None:
        view = replace(view, metric=replace(view.metric, digits=options.decimals))
    beside = (None, ()) if options.tabular_only else (published, more)
    made = tables(rows, versus, beside[0], notes, beside[1], view, options.bold)
    selected = [_selected(table, options) for table in made]
    printed = [table for table in selected if table.spans]
    left_out = [f"% {_in_latex(table.title)}: {NO_COLUMN}" for table in selected if not table.spans]
    if options.tabular_only:
        return "\n\n".join([*left_out, *("\n".join(_tabular(table)) for table in printed)]) + "\n"
    floats = [_float(table, options, number) for number, table in enumerate(printed, start=1)]
    return "\n\n".join([OPENING, *left_out, *floats, CLOSING]) + "\n"


def _in_latex(text: str) -> str:
    return "".join(LATEX.get(c, c) if c in SAFE_IN_LATEX else f"{{[}}U+{ord(c):04X}{{]}}" for c in plain(text))


def _selected(table: Table, options: LatexOptions) -> Table:
    """The rows and groups that were asked for, of a table of methods by shot groups."""
    names = [group for _, groups in table.spans for group in groups]
    if table.head != ("Method",) or not {name.lower() for name in names} <= set(GROUPS):
        return table
    groups = set(options.groups or GROUPS)
    columns = [0, *(j for j, name in enumerate(names, start=1) if name.lower() in groups)]
    line = {row[0]: i for i, row in enumerate(table.body)}
    lines = [line[method] for method in options.methods if method in line] if options.methods else list(line.values())
    spans = [(span, tuple(name for name in inner if name.lower() in groups)) for span, inner in table.spans]
    return replace(
        table,
        spans=tuple((span, inner) for span, inner in spans if inner),
        body=tuple(tuple(table.body[i][j] for j in columns) for i in lines),
        emphasis={
            (new_i, new_j): table.emphasis[i, j]
            for new_i, i in enumerate(lines)
            for new_j, j in enumerate(columns)
            if (i, j) in table.emphasis
        },
    )


def _float(table: Table, options: LatexOptions, number: int) -> str:
    """A float: the caption's first two sentences above, the others below the table."""
    title = _in_latex(table.title)
    captioned = options.caption is not None and number == 1
    caption = _in_latex(options.caption or "") if captioned else f"{title}. {_in_latex(' '.join(table.caption[:2]))}"
    label = options.label and (options.label if number == 1 else f"{options.label}-{number}")
    below = [*table.footnotes, *([" ".join(table.caption[2:])] if table.caption[2:] else [])]
    lines = [
        r"\begin{table}",
        r"\centering\small",
        rf"\caption[{caption if captioned else title}]{{{caption}}}",
        *([rf"\label{{{label}}}"] if label else []),
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",  # shrink to the line, never stretch
        *_tabular(table, end="}"),
        *(rf"\par\footnotesize {_in_latex(note)}" for note in below),
        r"\end{table}",
    ]
    return "\n".join(lines)


def _tabular(table: Table, end: str = "") -> list[str]:
    """One header over the groups of each data set, as in the paper's Table 5."""
    ends = list(accumulate((len(groups) for _, groups in table.spans), initial=len(table.head)))
    spans = [rf"\multicolumn{{{len(groups)}}}{{c}}{{{_in_latex(span)}}}" for span, groups in table.spans]
    rules = [rf"\cmidrule(lr){{{start + 1}-{end}}}" for start, end in pairwise(ends)]
    above = [" & ".join([*[""] * len(table.head), *spans]) + r" \\", " ".join(rules)]
    groups = [_in_latex(text) for text in (*table.head, *(group for _, groups in table.spans for group in groups))]
    return [
        rf"\begin{{tabular}}{{{'l' * len(table.head)}{'r' * (ends[-1] - len(table.head))}}}",
        r"\toprule",
        *(above if any(span for span, _ in table.spans) else []),
        " & ".join(groups) + r" \\",
        r"\midrule",
        *(" & ".join(_row(row, i, table.emphasis)) + r" \\" for i, row in enumerate(table.body)),
        r"\bottomrule",
        r"\end{tabular}" + end,
    ]


def _row(row: Sequence[str], i: int, emphasis: Mapping[tuple[int, int], str]) -> Iterator[str]:
    for j, text in enumerate(row):
        word = emphasis.get((i, j))
        yield f"{COMMANDS[word]}{{{_in_latex(text)}}}" if word else _in_latex(text)
