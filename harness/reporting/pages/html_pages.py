"""From stores to pages: one file, or a folder of several with an index."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path

import pandas as pd

from ....leaderboard.html import board, page, site
from ....leaderboard.html.model import PageContent
from ....leaderboard.metric import ACCURACY, Metric
from ....leaderboard.tables.cost import cost_tables
from ...errors import ReportError
from ...metrics.definitions import DEFINITIONS
from ...metrics.rescoring import parse_metric
from ...spec.schema import Shots, Spec
from ...storage.reader import StoreReader
from .. import tuning_tables
from ..figures.on_page import page_figure, planned_figures
from ..figures.study import StudyFigure
from ..gather import gather, report_files
from ..natural_frequencies import with_further_metrics
from ..report import FOR_PROGRAMS, Report, known
from .cards import data_cards, method_cards
from .evidence import evidence


@dataclass(frozen=True)
class PageOptions:
    """What the options of a report ask of its pages and of the files beside them."""

    versus: str | None = None
    quote: bool = False
    by: Shots | None = None
    uncertainty: str = "se"
    words: site.Words = field(default_factory=site.Words)

    def among(self, report: Report) -> PageOptions:
        """The same without the comparison where a report lacks the method that it is with."""
        return self if self.versus in set(report.rows["method"]) else replace(self, versus=None)


def page_content(report: Report, stores: Sequence[StoreReader], options: PageOptions = PageOptions()) -> PageContent:
    """All that the page of a report shows.

    Args:
        report: The leaderboard.
        stores: What it was made of.
        options: What is compared, and how.

    Returns:
        The content, to be written by :func:`write_page`.

    Raises:
        ReportError: where the reference is no method of the report, or less of the metric is better.
    """
    report.require(options.versus)
    if not report.metric.larger_is_better:
        name = report.metric.name
        raise ReportError(f"--html: a page shows metrics of which more is better; {name} is in the other forms")
    specs = [spec for store in stores for spec in store.plans()]
    rules = {options.by or spec.shots for spec in specs}
    (rule,) = rules if len(rules) == 1 else (None,)
    return PageContent(
        title=", ".join(dict.fromkeys(spec.name for spec in specs)),
        rows=report.rows,
        evidence=evidence(stores, dict.fromkeys(report.rows["key"]), options.by, report.sources, report.weights),
        notes=report.notes,
        versus=options.versus,
        published=report.quoted(options.quote),
        routines=report.routines if options.quote and report.metric.of_hits else {},
        budget=tuning_tables.curves(report.searches) if report.searches else None,
        metric=" or ".join(dict.fromkeys(line.tuned.search.tune.metric for line in report.searches)),
        shots=(rule.few, rule.many) if rule and rule.by == "count" else None,
        uncertainty=known(options.uncertainty),
        scored=report.metric,
        methods=method_cards(report.trials),
        further=[
            *(table for each in report.further for table in each.tables()),
            *cost_tables(report.rows, report.started),
        ],
        data=data_cards(report.rows["dataset"].unique()),
        figures=planned_figures(stores),
    )


def write_page(shown: PageContent, path: Path) -> None:
    """Write a page to the file ``path``. ReportError where that is a folder."""
    _file(path, "--html")
    path.write_text(page.html(shown, _library()), encoding="utf-8", newline="\n")


def contents(
    spec: Spec, store: StoreReader, gathered: Callable[..., Report]
) -> tuple[list[tuple[pd.DataFrame, Metric]], dict[str, bytes]]:
    """What is told of a plan elsewhere than in its store.

    Args:
        spec: The plan.
        store: Where its trials are.
        gathered: Its report; with the keyword ``rescore`` by another metric.

    Returns:
        The rows of its table, with what their values are, and those of each further metric that the spec names or the
        report shows; and the report's files by their names, with its page and its figure.

    Raises:
        StoreError: where there is no store.
    """
    report = with_further_metrics(gathered, [store])
    named = [spec.figure.metric] if spec.figure else []
    named += [spec.tune.metric.removeprefix("val/")] if spec.tune else []
    measured = [(report.rows, report.metric), *report.measured]
    for name in dict.fromkeys(named):
        if name.partition(":")[0] in DEFINITIONS and name != ACCURACY.name:
            other = gathered(rescore=parse_metric(name, "test", 0.0))
            measured.append((other.rows, other.metric))
    files = {name: text.encode() for name, text in report_files(report).values()}
    shown = page_content(report, [store])
    files["leaderboard.html"] = page.html(shown, _library()).encode()
    for number, figure in enumerate(shown.figures, start=1):
        name = f"figure-{number}" if len(shown.figures) > 1 else "figure"
        files |= {f"{name}.csv": figure.csv} | ({f"{name}.svg": figure.picture} if figure.picture else {})
    return measured, files


def write_figure_page(store: StoreReader, drawn: StudyFigure, path: Path) -> None:
    """Write the page of a store with one figure on it.

    Args:
        store: Where the trials are.
        drawn: The figure.
        path: The file.

    Raises:
        ReportError: where that is a folder.
    """
    shown = page_content(gather([store]), [store])
    write_page(replace(shown, figures=[page_figure(drawn)]), path)


def write_site(
    folder: Path, reports: Sequence[tuple[StoreReader, Report]], options: PageOptions = PageOptions()
) -> Path:
    """A page for each report, and around them a front page, the methods and the data sets.

    A report without the method that is compared with gets its page all the same: the front page says what each
    compares.

    Args:
        folder: Where they go; what else is in the folder stays.
        reports: Each store with its report.
        options: What is compared, and how.

    Returns:
        The index's path.

    Raises:
        ReportError: where its ``index.html`` is a folder.
    """
    index = _file(folder / "index.html", "--site")
    if options.versus and not any(options.among(report).versus for _, report in reports):
        reports[0][1].require(options.versus)  # a slip of the pen, and no page to write
    boards = []
    names = _names([store for store, _ in reports])
    for (store, report), name in zip(reports, names, strict=True):
        here = options.among(report)
        shown = page_content(report, [store], here)
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        write_page(shown, place / "index.html")
        markdown = report.rendered("md", here.versus, here.quote, here.uncertainty)
        cells = {form: report.rendered(form, here.versus) for form in FOR_PROGRAMS}
        for form, text in {**cells, "md": markdown}.items():
            (place / f"leaderboard.{form}").write_text(text, encoding="utf-8", newline="\n")
        (place / "leaderboard.parquet").write_bytes(report.parquet())
        if store.file:
            shutil.copyfile(store.file, place / "bundle.zip")
        boards.append(replace(board.board(name, shown, options.versus), bundle=bool(store.file)))
    croissants = _write_croissants(folder / "croissant", boards)
    for name, text in site.pages(boards, options.words, croissants).items():
        _file(folder / name, "--site").write_text(text, encoding="utf-8", newline="\n")
    (folder / ".nojekyll").touch()  # some hosts would else leave out files by their names
    return index


def _write_croissants(folder: Path, boards: Sequence[board.Board]) -> set[str]:
    """The metadata of each data set of the catalog, in a file of its name; which they are."""
    from ...registry.croissant import croissant

    written = set()
    for name in {one.name for each in boards for one in each.data if one.card}:
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            folder.mkdir(exist_ok=True)
            text = json.dumps(croissant(name), indent=1, ensure_ascii=False) + "\n"
            (folder / f"{name}.json").write_text(text, encoding="utf-8", newline="\n")
            written.add(name)
    return written


def _file(path: Path, option: str) -> Path:
    """The path. ReportError where a folder stands there."""
    if path.is_dir():
        raise ReportError(f"{option}: {path} is a folder; the page is a file")
    return path


def _names(stores: Sequence[StoreReader]) -> list[str]:
    """A folder's name for each store, from its own, each once and none that of a page."""
    names = [*site.PAGES]
    for store in stores:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", str(store).rstrip("/").rsplit("/", 1)[-1]).strip(".-") or "report"
        name, number = stem, 2
        while name.lower() in [taken.lower() for taken in names]:  # some file systems fold cases
            name, number = f"{stem}-{number}", number + 1
        names.append(name)
    return names[len(site.PAGES) :]


def _library() -> str:
    """plotly.js, as the Python package plotly holds it; importing that would take a while."""
    return _eager((files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8"))


def _eager(library: str) -> str:
    """The library with its one outer function in parentheses, where it is wrapped as plotly.js is.

    That is how a browser knows that a function is called at once (V8's "possibly invoked function expression"): else it
    reads all of the text twice, which takes a fifth of the time that the library needs to start.
    """
    opening, end = "self : this, () => {\n", "\n}));"
    if library.count(opening) != 1 or not library.rstrip().endswith(end):
        return library
    body = library.rstrip().removesuffix(end).replace(opening, opening.replace("()", "(()"))
    return f"{body}\n}})));\n"
