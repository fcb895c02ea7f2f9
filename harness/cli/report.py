"""``tailboard report``: the leaderboard, in all its forms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ReportError
from ..memory import give_back, uncollected
from ..text import listed
from .options import Defaults, Few, Many, Tercile, for_reader, print_output, print_status
from .status import outcome, print_unreachable

if TYPE_CHECKING:
    from ...leaderboard.formats.latex import LatexOptions
    from ..metrics.rescoring import MetricRequest
    from ..reporting.report import Report
    from ..spec.schema import Spec
    from ..storage.reader import StoreReader
    from ..storage.store import Store

app = typer.Typer()
WITH_AUDIT = ("audit", "form", "output", "versus", "less_is_better")
OF_CLAIMS = ("stores", "form", "output")  # what a folder of studies has


@app.command(
    epilog="Examples: tailboard report runs/quickstart --html page.html | tailboard report a b.zip --versus ERM | "
    "tailboard report a --format latex -o table.tex | tailboard report a --metric macro_f1 --prior train --tau 1 | "
    "tailboard report --audit results.csv"
)
def report(
    stores: Annotated[list[str] | None, typer.Argument(metavar="STORE...", help="Or a folder of studies.")] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="md (on a terminal text, the same without escapes), latex, csv, json, or parquet (with -o).",
        ),
    ] = "md",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A file instead of stdout.")] = None,
    versus: Annotated[str | None, typer.Option(help="Compare every method with this one, seed by seed.")] = None,
    quote: Annotated[
        bool, typer.Option("--published", help="Quote all published rows, and what they say of the measured ones.")
    ] = False,
    uncertainty: Annotated[str, typer.Option(help="What follows ±: se, std or ci95.")] = "se",
    metric: Annotated[
        str,
        typer.Option(help="Such as accuracy, macro_f1, f1:CLASS, auroc; tailboard list metrics names them all."),
    ] = "balanced_accuracy",
    prior: Annotated[
        str, typer.Option(help="The classes of the test set: test, balanced, train, cat=0.9,dog=0.1, or a file.")
    ] = "test",
    tau: Annotated[float, typer.Option(help="Post-hoc logit adjustment of every row.")] = 0.0,
    weights: Annotated[
        str, typer.Option(help="Of each trial's end: ema, their moving average, or last, the weights themselves.")
    ] = "ema",
    noise: Annotated[
        str | None, typer.Option(help="images: also what other test images would have given (a bootstrap).")
    ] = None,
    ranks: Annotated[
        bool, typer.Option("--ranks", help="How the methods stand over all data sets: ranks, or wins and losses.")
    ] = False,
    diagram: Annotated[
        Path | None, typer.Option(help="The critical differences of the ranks: to a .png, .svg or .pdf.")
    ] = None,
    bold: Annotated[
        str | None, typer.Option(help="LaTeX: best (what is not separable from it underlined), separable, or none.")
    ] = None,
    caption: Annotated[str | None, typer.Option(help="LaTeX: in place of the first table's caption.")] = None,
    label: Annotated[str | None, typer.Option(help="LaTeX: the first table's label.")] = None,
    columns: Annotated[str | None, typer.Option(help="LaTeX: the groups, such as few,med,many,all.")] = None,
    rows: Annotated[str | None, typer.Option(help='LaTeX: the methods in their order, such as "ERM, M2m".')] = None,
    decimals: Annotated[int | None, typer.Option(help="LaTeX: digits after the point.")] = None,
    tabular_only: Annotated[bool, typer.Option("--tabular-only", help="LaTeX: no float, caption or notes.")] = False,
    few: Few = None,
    many: Many = None,
    tercile: Tercile = False,
    defaults: Defaults = False,
    budget: Annotated[int | None, typer.Option(help="As if each search had ended after so many trials.")] = None,
    curve: Annotated[Path | None, typer.Option(help="What each budget finds: to a .csv, .png, .svg or .pdf.")] = None,
    html: Annotated[Path | None, typer.Option(help="Also write one self-contained page that anyone can open.")] = None,
    site: Annotated[
        Path | None, typer.Option(help="Also write a folder for a static host: a page a store, and a front page.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Of the front page of --site.")] = None,
    description: Annotated[str | None, typer.Option(help="A sentence below that title.")] = None,
    audit: Annotated[
        Path | None, typer.Option(help="In place of stores: anybody's results of each seed or item, a CSV.")
    ] = None,
    less_is_better: Annotated[bool, typer.Option("--less-is-better", help="Of the values of --audit.")] = False,
    context: typer.Context = None,  # pyright: ignore[reportArgumentType]  (typer hands it on; Python need not)
) -> int:
    """Print the leaderboard of one or several stores and bundles, and write it as pages; a bundle that does not hold is
    refused."""
    _look_ahead(context, stores or [])  # before what takes seconds to import
    from ...leaderboard.html.site import Words
    from ..bundles import sources
    from ..metrics.rescoring import AS_RECORDED, parse_metric
    from ..reporting import figure_files, gather
    from ..reporting.natural_frequencies import with_further_metrics
    from ..reporting.pages import html_pages
    from ..spec.parser import parse_shots
    from ..storage.store import Store
    from ..tracking import background

    if audit:
        return _audit(context, audit, form, output, versus, less_is_better)
    stores, form = stores or [], for_reader(form, output)
    if len(stores) == 1 and (code := _claims(context, stores[0], form, output)) is not None:
        return code
    _check(stores, form, output, noise, less_is_better)
    printed = _printed(
        form, bold=bold, caption=caption, label=label, groups=columns, methods=rows, decimals=decimals,
        tabular_only=tabular_only or None,
    )  # fmt: skip
    asked, by = parse_metric(metric, prior, tau, weights), parse_shots(few, many, tercile)
    rescore = None if asked == AS_RECORDED else asked
    _check_site(site, rescore, titled=bool(title or description))
    words = Words(title or Words.title, description or "")
    with sources.opened(stores) as places:
        leaderboard = partial(
            gather.gather, by=by, defaults=defaults, budget=budget, rescore=rescore, images=bool(noise), comparable=True
        )

        def whole(places: list[StoreReader]) -> Report:
            return leaderboard(places) if rescore else with_further_metrics(partial(leaderboard, places), places)

        options = html_pages.PageOptions(versus, quote, by, uncertainty, words)
        if site:  # first: pages of their own need not fit into one table
            html_pages.write_site(site, [(place, whole([place])) for place in places], options)
        with _uncollected():
            report = (whole if html or form in ("md", "text", "latex", "json") else leaderboard)(places)
        report = report.with_bootstrap(versus) if noise else report
        report = report.with_ranks(versus) if ranks else report
        written = _written(report, form, versus, quote, uncertainty, printed)
        if form in ("md", "text"):
            written = chain(written, [_claims_of(places)])
        if curve:
            figure_files.write_curves(report, curve)
        undrawn = figure_files.write_diagram(report, diagram) if diagram else ""
        if html:
            html_pages.write_page(html_pages.page_content(report, places, options), html)
        _put(written, output)
        for place in (each for each in places if isinstance(each, Store)):
            print_unreachable(background.catch_up_all(place, partial(_contents, place, defaults)))
        if undrawn:  # it takes no table away
            raise ReportError(undrawn)
    return outcome(report)


def _written(
    report: Report, form: str, versus: str | None, quote: bool, uncertainty: str, printed: LatexOptions | None
) -> Iterable[str | bytes]:
    """The report in its form, in pieces. What --columns leaves out is said."""
    if form == "parquet":
        return [report.parquet(versus, quote)]
    groups = printed.groups if printed else ()
    for protocol in report.without_columns(groups):
        print_status(f"--columns: no class is in {' or '.join(groups)} of {protocol}: its table is left out")
    return report.pieces(form, versus, quote, uncertainty, printed)


def _look_ahead(context: typer.Context | None, stores: list[str]) -> None:
    """Have another process look at the records of large stores until the command ends."""
    from ..storage.columns.stamps import stamps_ahead

    if context:
        context.with_resource(stamps_ahead(stores))


def _contents(store: Store, defaults: bool, spec: Spec) -> Any:
    """What the report of a plan holds, which is one of several perhaps."""
    from ..reporting import gather
    from ..reporting.pages import html_pages
    from ..reporting.reported_store import SearchedPlan
    from ..tuning.results import search_results

    plan = SearchedPlan(spec, search_results(spec, store))
    return html_pages.contents(spec, store, partial(gather.gather, [store], only=plan, defaults=defaults))


def _refused(context: typer.Context | None, taken: Iterable[str]) -> str:
    """The first word of the command line that is none of these parameters, as it is written; empty where there is
    none."""
    for parameter in context.command.params if context else ():
        name = parameter.name or ""
        source = context.get_parameter_source(name) if context else None
        if name not in taken and source and source.name == "COMMANDLINE":
            return next((word for word in parameter.opts if word.startswith("--")), name)
    return ""


def _audit(
    context: typer.Context, path: Path, form: str, output: Path | None, versus: str | None, less_is_better: bool
) -> int:
    """The ranks, intervals and tests of results that no store holds."""
    from ...leaderboard.formats.markdown import markdown_section
    from ...leaderboard.formats.records import frame_csv, frame_json
    from ...leaderboard.result_file import read_results
    from ...leaderboard.statistics.audit import audit
    from ...leaderboard.tables.audit import audit_tables

    if name := _refused(context, WITH_AUDIT):
        raise ReportError(f"--audit: not with {name}; it takes --format, --output, --versus and --less-is-better")
    form = for_reader(form, output)
    if form not in ("md", "text", "csv", "json"):
        raise ReportError(f"--format: {form!r} is not one of md, csv, json, which --audit has")
    try:
        results = read_results(path)
        compared = audit(results, not less_is_better, versus)
    except ValueError as error:
        raise ReportError(f"--audit: {error}") from None
    unit = results.attrs["unit"]
    if form in ("md", "text"):
        tables = audit_tables(compared, unit, not less_is_better, chosen=versus is None)
        text = "\n\n".join(markdown_section(table, escaped=form == "md") for table in tables) + "\n"
    else:
        text = (frame_csv if form == "csv" else frame_json)(compared)
    _put([text], output)
    return 0


def _check(stores: list[str], form: str, output: Path | None, noise: str | None, less_is_better: bool) -> None:
    """ReportError where options do not fit each other."""
    if not stores or less_is_better:
        what = "--less-is-better: of --audit FILE.csv" if stores else "name a store or a bundle, or --audit FILE.csv"
        raise ReportError(what)
    if form == "parquet" and not output:
        raise ReportError("--format: parquet is no text; name a file with -o")
    if noise not in (None, "images"):
        raise ReportError(f"--noise: {noise!r} is not images")


def _claims(context: typer.Context | None, place: str, form: str, output: Path | None) -> int | None:
    """Print what the studies of a folder claim; None where the place is no folder of studies. ReportError for an option
    of stores."""
    from ..reporting.figures.claims_table import claims_table, studies_in

    if not (studies := studies_in(place)):
        return None
    if name := _refused(context, OF_CLAIMS):
        raise ReportError(
            f"{name}: not of a folder of studies, whose claims take --format and --output; name one of its stores, "
            f"such as {studies[0]}"
        )
    table = claims_table(studies)
    _put([table.rendered("md" if form == "text" else form)], output)
    return outcome(table)


def _claims_of(places: list[StoreReader]) -> str:
    """What plans with a figure claim, below the leaderboard; nothing where none has one."""
    if not any(spec.figure for place in places for spec in place.plans()):
        return ""
    from ..reporting.figures.claims_table import claims_table

    return f"\n### Claims\n\n{claims_table(places).rendered('md')}\n"


def _put(written: Iterable[str | bytes], output: Path | None) -> None:
    """Into the file that was asked for, or on the terminal."""
    if output:
        with output.open("wb") as file:
            for piece in written:
                file.write(piece if isinstance(piece, bytes) else piece.encode())
    else:
        print_output("".join(map(str, written)))


def _check_site(site: Path | None, rescore: MetricRequest | None, titled: bool) -> None:
    if titled and not site:
        raise ReportError("--title and --description: of the front page of --site, which is not asked for")
    if site and rescore and not rescore.metric.of_hits:
        raise ReportError("--site shows the accuracies: leave out --metric and --tau, or write one page with --html")


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without Python's search for cycles: there are none among a million records. What was let go is given back to the
    system, by pyarrow and by the C library: else it waits for another use."""
    import pyarrow as pa

    try:
        with uncollected():
            yield
    finally:
        pa.default_memory_pool().release_unused()
        give_back()


def _printed(form: str, **asked: Any) -> LatexOptions | None:
    """How the LaTeX looks; None where nothing is asked for. ReportError for another form, or a word that is none."""
    from ...leaderboard.formats.latex import LatexOptions

    given = {name: value for name, value in asked.items() if value is not None}
    if given and form != "latex":
        raise ReportError("--bold, --caption, --label, --columns, --rows, --decimals, --tabular-only: only of latex")
    for name in ("groups", "methods"):
        if name in given:
            given[name] = tuple(listed(given[name]))
    try:
        return LatexOptions(**given) if given else None
    except ValueError as error:
        raise ReportError(f"--{error}") from None
