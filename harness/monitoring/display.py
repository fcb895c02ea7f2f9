"""How a run looks: the facts of its progress as a table and lines for a terminal, or as one line elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ...leaderboard.metric import GROUPS
from ..text import duration, printable


def counts(facts: Mapping[str, Any]) -> str:
    """How many trials are done, running and failed, of how many, in words."""
    return f"{facts['done']} done, {facts['running']} running, {facts['failed']} failed of {facts['planned']} trials"


def clock(facts: Mapping[str, Any]) -> str:
    """How long it has trained and how long is left, as far as either is known."""
    elapsed, left = facts.get("elapsed"), facts.get("left")
    words = [f"{duration(elapsed)} elapsed"] if elapsed is not None else []
    return ", ".join(words + ([f"about {duration(left)} left"] if left else []))


def line(facts: Mapping[str, Any]) -> str:
    """All of it in one line."""
    return "; ".join(filter(None, [counts(facts), clock(facts), facts.get("note", "")]))


def addresses(facts: Mapping[str, Any]) -> list[str]:
    """Where else there is something to look at."""
    named = {"Ray's dashboard": facts.get("dashboard"), "MLflow": facts.get("mlflow")}
    return [f"{name}: {where}" for name, where in named.items() if where]


def render(facts: Mapping[str, Any]) -> Group:
    """The totals first: where a terminal is not high enough, it is the last rows that are not seen."""
    words = filter(None, [counts(facts), clock(facts), *addresses(facts), facts.get("note", "")])
    bar = Table.grid()  # which ends its line
    bar.add_row(ProgressBar(total=max(facts["planned"], 1), completed=facts["done"] + facts["failed"], width=40))
    return Group(*(Text(printable(text), overflow="fold") for text in words), bar, _table(facts["methods"]))


def changes(looks: Iterable[Mapping[str, Any]], as_json: bool) -> Iterator[str]:
    """What a watched store comes to, for a reader that is no terminal.

    Args:
        looks: The facts of each look.
        as_json: Whether a line is JSON, not words.

    Returns:
        A line for each look at which something other than the time has changed.
    """
    before = None
    for facts in looks:
        now = {name: value for name, value in facts.items() if name not in ("at", "elapsed", "left")}
        if not as_json:
            now = {name: facts.get(name) for name in ("done", "running", "failed", "planned", "note")}
        if now != before:
            yield json.dumps(facts) if as_json else printable(line(facts))
        before = now


def live(looks: Iterable[Mapping[str, Any]], console: Console) -> None:
    """Each look in place of the one before; the last one stays."""
    with Live(console=console, auto_refresh=False) as shown:
        for facts in looks:
            shown.update(render(facts), refresh=True)


def _table(rows: list[Mapping[str, Any]]) -> Table:
    tuned = any(row["tuning"] for row in rows)
    table = Table(title="so far, all data sets together", title_justify="left")
    table.add_column("method", overflow="fold")
    for name in ("tuning",) * tuned + ("trials", "running", "failed", *GROUPS):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        tuning = (f"{row['tuned']}/{row['tuning']}" if row["tuning"] else "",) * tuned
        trials = f"{row['done']}/{row['planned']}" if row["planned"] else ""
        failed = Text(str(row["failed"]), style="red") if row["failed"] else ""
        means = (f"{row['means'][group]:.1f}" if group in row["means"] else "" for group in GROUPS)
        table.add_row(Text(printable(row["method"])), *tuning, trials, str(row["running"] or ""), failed, *means)
    return table
