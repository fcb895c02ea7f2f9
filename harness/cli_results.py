"""``tailboard status`` and ``report``: what came out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .terminal import Defaults, Few, Json, Many, Tercile, say, show, tell

app = typer.Typer()


@app.command(epilog="Examples: tailboard status runs/quickstart --watch | tailboard status s3://bucket/mine --json")
def status(
    store: Annotated[str, typer.Argument()],
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again and again until the run has ended.")] = False,
    every: Annotated[
        float | None, typer.Option(min=0.2, help="Seconds between two looks.", show_default="2; 10 if far away")
    ] = None,
) -> None:
    """Print how far a store is, what failed and why, and where MLflow's page is."""
    from . import describe
    from .store import Store

    place = Store(store)
    if watch:
        _watch(place, every or (2.0 if place.local else 10.0), as_json)
        return
    facts = describe.status_facts(place)
    show(facts, describe.status_table(facts), as_json)


def _watch(store: Any, every: float, as_json: bool) -> None:
    """The picture of ``run`` on a terminal; elsewhere, and as JSON, a line whenever something has changed."""
    from contextlib import suppress

    from rich.console import Console

    from . import picture, watched

    console, looks = Console(), watched.watch(store, every)
    with suppress(KeyboardInterrupt):
        if as_json or not console.is_terminal:
            for line in picture.changes(looks, as_json):
                print(line, flush=True)
        else:
            picture.live(looks, console)


@app.command(
    epilog="Examples: tailboard report runs/quickstart --html page.html | tailboard report a b --site public | "
    "tailboard report a b --format latex -o table.tex --versus ERM"
)
def report(
    stores: Annotated[list[str], typer.Argument(metavar="STORE...")],
    form: Annotated[str, typer.Option("--format", help="md, latex, csv or json.")] = "md",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A file instead of stdout.")] = None,
    versus: Annotated[str | None, typer.Option(help="Compare every method with this one, seed by seed.")] = None,
    quote: Annotated[
        bool, typer.Option("--published", help="Quote all published rows, and what they say of the measured ones.")
    ] = False,
    uncertainty: Annotated[str, typer.Option(help="What follows ±: se, std or ci95.")] = "se",
    ranks: Annotated[
        bool, typer.Option("--ranks", help="How the methods stand over all data sets: ranks, or wins and losses.")
    ] = False,
    diagram: Annotated[
        Path | None, typer.Option(help="The critical differences of the ranks: to a .png, .svg or .pdf.")
    ] = None,
    few: Few = None,
    many: Many = None,
    tercile: Tercile = False,
    defaults: Defaults = False,
    budget: Annotated[int | None, typer.Option(help="As if each search had ended after so many trials.")] = None,
    curve: Annotated[Path | None, typer.Option(help="What each budget finds: to a .csv, .png, .svg or .pdf.")] = None,
    html: Annotated[Path | None, typer.Option(help="Also write one self-contained page that anyone can open.")] = None,
    site: Annotated[
        Path | None, typer.Option(help="Also write a folder for a static host: a page a store, and an index.")
    ] = None,
) -> int:
    """Print the leaderboard of one or several stores and bundles, and write it as pages; a bundle that does not hold is
    refused."""
    from . import merged, pages, publish, tracker
    from .specfile import parse_shots

    by, asked = parse_shots(few, many, tercile), {"defaults": defaults, "budget": budget}
    with merged.opened(stores) as places:
        board = merged.gather(places, by, **asked)
        text = (board.with_ranks(versus) if ranks else board).rendered(form, versus, quote, uncertainty)
        if html:
            pages.write_page(pages.subject(board, places, versus, quote, by), html)
        if site:
            alone = [(place, merged.gather([place], by, **asked)) for place in places]
            pages.write_site(site, [(s, b, pages.subject(b, [s], versus, quote, by)) for s, b in alone])
        if curve:
            publish.write_curves(board, curve)
        if diagram:
            publish.write_diagram(board, diagram)
        if output:
            output.write_text(text, encoding="utf-8")
        else:
            tell(text)
        for place in places:
            if not merged.is_bundle(str(place)):
                say_away(tracker.catch_up_all(place))
    return outcome(board)


def say_away(reason: str) -> None:
    if reason:
        say(f"MLflow could not be written to ({reason}); the next run or report fills in what is missing")


def outcome(board: Any) -> int:
    for message in board.damaged:
        say(f"error: {message}")
    return 0 if board.complete else 2
