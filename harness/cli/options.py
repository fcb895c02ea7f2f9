"""What the commands share: their options, and the two ways to the terminal."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..text import lines

SpecArgument = Annotated[str, typer.Argument(metavar="SPEC", help="A YAML file, or the name of a shipped spec.")]
Json = Annotated[bool, typer.Option("--json", help="For machines.")]
Root = Annotated[Path | None, typer.Option(help="The folder that holds the data.", show_default=False)]
NoVerify = Annotated[bool, typer.Option("--no-verify", help="Take data whose checksums differ; the table shows it.")]
Plugins = Annotated[list[Path] | None, typer.Option("--plugin", help="A file whose methods are compared too.")]
Few = Annotated[int | None, typer.Option(help="Few are classes with fewer training images.", show_default="20")]
Many = Annotated[int | None, typer.Option(help="Many are classes with more.", show_default="100")]
Tercile = Annotated[bool, typer.Option("--tercile", help="Rank the classes into thirds instead of counting.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of the spec, such as training.epochs=60."),
]
Name = Annotated[str | None, typer.Option(help="The changed spec's name; made of the changes if not given.")]
StoreOption = Annotated[str | None, typer.Option(help="A folder or URL; runs/NAME if not given.")]
Slots = Annotated[int | None, typer.Option(min=1, help="Trials at a time; fills the machine if not given.")]
Address = Annotated[str | None, typer.Option(envvar="RAY_ADDRESS", help="A running Ray cluster to join.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress; what is wrong is still said.")]
Defaults = Annotated[bool, typer.Option("--with-defaults", help="Tuned methods also at the spec's own values.")]
RetryFailed = Annotated[
    bool,
    typer.Option("--retry-failed", help="Run again what failed or diverged; not in a search, which has gone by it."),
]


def print_status(text: str) -> None:
    """Print ``text`` to stderr, at once: it is for the user, and no data."""
    print(lines(text), file=sys.stderr, flush=True)


def print_output(text: str) -> None:
    """To stdout, with one line feed at its end."""
    print(lines(text.removesuffix("\n")))


def for_reader(form: str, output: Path | None = None) -> str:
    """The form in which a report is written: ``text`` in place of Markdown where it goes to a terminal."""
    return "text" if form == "md" and output is None and sys.stdout.isatty() else form


def print_result(facts: Any, text: str, as_json: bool) -> None:
    """Print ``facts`` as JSON where ``as_json``, else ``text``."""
    print_output(json.dumps(facts, indent=1) if as_json else text)
