"""``tailboard status`` and ``report``: what came out."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
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
    epilog="Examples: tailboard report runs/quickstart | tailboard report a b --format latex -o table.tex --versus ERM "
    "| tailboard report a --versus ERM --ranks --noise images | tailboard report a --metric macro_f1 --prior train "
    "--tau 1 | tailboard report a --format parquet -o rows.parquet"
)
def report(
    stores: Annotated[list[str], typer.Argument(metavar="STORE...")],
    form: Annotated[str, typer.Option("--format", help="md, latex, csv, json, or parquet (with -o).")] = "md",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A file instead of stdout.")] = None,
    versus: Annotated[str | None, typer.Option(help="Compare every method with this one, seed by seed.")] = None,
    quote: Annotated[
        bool, typer.Option("--published", help="Quote all published rows, and what they say of the measured ones.")
    ] = False,
    uncertainty: Annotated[str, typer.Option(help="What follows ±: se, std or ci95.")] = "se",
    metric: Annotated[
        str,
        typer.Option(help="From the stored logits: accuracy, macro_f1, worst_class, recall:CLASS, auroc, ece or nll."),
    ] = "balanced_accuracy",
    prior: Annotated[
        str, typer.Option(help="The classes of the test set: balanced, train, or a file with a share for each.")
    ] = "balanced",
    tau: Annotated[float, typer.Option(help="Post-hoc logit adjustment of every row.")] = 0.0,
    noise: Annotated[
        str | None, typer.Option(help="images: also what other test images would have given (a bootstrap).")
    ] = None,
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
) -> int:
    """Print the leaderboard of one or several stores."""
    from . import drawn, publish, tracker
    from .specfile import parse_shots
    from .store import Store

    if form == "parquet" and not output:
        raise publish.ReportError("--format: parquet is no text; name a file with -o")
    if noise not in (None, "images"):
        raise publish.ReportError(f"--noise: {noise!r} is not images")
    places = [Store(store) for store in stores]
    rescore = _rescore(metric, prior, tau)
    by = parse_shots(few, many, tercile)
    with _uncollected():
        board = publish.gather(places, by, defaults=defaults, budget=budget, rescore=rescore, images=bool(noise))
    board = board.with_noise(versus) if noise else board
    board = board.with_ranks(versus) if ranks else board
    written = board.parquet() if form == "parquet" else board.rendered(form, versus, quote, uncertainty)
    if curve:
        drawn.write_curves(board, curve)
    if diagram:
        drawn.write_diagram(board, diagram)
    if output:
        output.write_bytes(written if isinstance(written, bytes) else written.encode())
    else:
        tell(str(written))
    for place in places:
        say_away(tracker.catch_up_all(place))
    return outcome(board)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without Python's search for cycles: there are none among a million records, and it would look again and again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _rescore(metric: str, prior: str, tau: float) -> Any:
    """None where the table is to show what the records hold."""
    if (metric, prior, tau) == ("balanced_accuracy", "balanced", 0.0):
        return None
    from . import rescored  # imports torch

    return rescored.asked(metric, prior, tau)


def say_away(reason: str) -> None:
    if reason:
        say(f"MLflow could not be written to ({reason}); the next run or report fills in what is missing")


def outcome(board: Any) -> int:
    for message in board.damaged:
        say(f"error: {message}")
    return 0 if board.complete else 2
