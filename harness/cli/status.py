"""``tailboard status``, and how commands end."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

import typer

from .options import Json, print_result, print_status

app = typer.Typer()


@app.command(epilog="Examples: tailboard status runs/quickstart --watch | tailboard status s3://bucket/mine --json")
def status(
    store: Annotated[str, typer.Argument()],
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again and again until the run has ended.")] = False,
    every: Annotated[
        float | None,
        typer.Option(min=0.2, max=86_400, help="Seconds between two looks.", show_default="2; 10 if far away"),
    ] = None,
) -> None:
    """Print how far a store is, what failed and why, and where MLflow's page is."""
    from ..monitoring import status as describe
    from ..storage.store import Store

    place = Store(store)
    if watch:
        _watch(place, every or (2.0 if place.local else 10.0), as_json)
        return
    facts = describe.status_facts(place)
    print_result(facts, describe.status_table(facts), as_json)


def _watch(store: Any, every: float, as_json: bool) -> None:
    """The picture of ``run`` on a terminal; elsewhere, and as JSON, a line whenever something has changed."""
    from rich.console import Console

    from ..monitoring import display, watch

    console, looks = Console(), watch.watch(store, every)
    with suppress(KeyboardInterrupt):
        if as_json or not console.is_terminal:
            for line in display.changes(looks, as_json):
                print(line, flush=True)
        else:
            display.live(looks, console)


def print_unreachable(reason: str) -> None:
    """Print why MLflow could not be reached, where there is a ``reason``."""
    if reason:
        print_status(reason)


def outcome(board: Any) -> int:
    """The exit code of a report (0 where every cell is complete, else 2), after a line for each damaged record."""
    for message in board.damaged:
        print_status(f"error: {message}")
    return 0 if board.complete else 2
