"""``tailboard test``, ``list`` and ``show``: whether a method holds what every method must, what there is to choose
from, and the source of a method."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ...methods.deferred_torch import defer_torch
from ..text import table
from .options import Json, Plugins, print_output, print_result

app = typer.Typer()


@app.command(epilog="Examples: tailboard test my_method.py | tailboard test 'SAM-A' --json")
def test(
    method: Annotated[str, typer.Argument(metavar="FILE|METHOD", help="A plugin's file, or a registered method.")],
    as_json: Json = False,
) -> int:
    """Check that a method holds what every method must; exit code 3 where it does not."""
    from ..testing import conformance

    verdicts = {}
    for name, entry in conformance.entries(method).items():
        verdicts[name] = [verdict._asdict() for verdict in conformance.verdicts(entry, file=method)]
        if not as_json:
            print_output(f"{name}\n{table(verdicts[name])}\n\n")
    if as_json:
        print(json.dumps(verdicts, indent=1))
    failed = any(verdict["outcome"] == "fail" for found in verdicts.values() for verdict in found)
    return 3 if failed else 0


@app.command("list", epilog="Examples: tailboard list methods | tailboard list specs quickstart > my.yaml")
def list_(
    what: Annotated[str, typer.Argument(metavar="methods|datasets|networks|metrics|specs")],
    name: Annotated[str | None, typer.Argument(help="Of a shipped spec, whose text is printed.")] = None,
    as_json: Json = False,
    plugin: Plugins = None,
) -> None:
    """Print what there is to choose from."""
    if what == "methods":
        defer_torch()
    from .descriptions import listings

    if what not in listings.LISTS:
        raise typer.BadParameter(f"{what!r} is not one of {', '.join(listings.LISTS)}")
    if name is not None:
        print_output(listings.spec_text(what, name))
        return
    print_result(*listings.listing(what, plugin or ()), as_json)


@app.command(
    epilog="Examples: tailboard show SAM-A | tailboard show 'SAM-A + M2m' | tailboard show Mine --plugin mine.py"
)
def show(
    method: Annotated[str, typer.Argument(help="A registered method, or a sum of several.")],
    plugin: Plugins = None,
) -> None:
    """Print a method whole: what it is, and the source of the part in each slot that it fills."""
    defer_torch()
    from .descriptions.method_source import method_source

    print_output(method_source(method, plugin or ()))
