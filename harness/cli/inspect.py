"""``tailboard plan``, ``test`` and ``list``: what there is, without training it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ..text import table
from .options import Json, Plugins, SpecArgument, print_output, print_result, print_status

app = typer.Typer()


@app.command(
    epilog="Examples: tailboard plan quickstart | tailboard plan my.yaml --calibrate | tailboard plan my.yaml --json"
)
def plan(
    spec: SpecArgument,
    as_json: Json = False,
    calibrate: Annotated[bool, typer.Option("--calibrate", help="Measure a few steps to estimate the time.")] = False,
    plugin: Plugins = None,
) -> None:
    """Print the trials that a spec stands for, and with --calibrate how long they will take."""
    from ..planning import summary
    from ..planning.request import RunRequest, check_names
    from ..spec.parser import read

    request = RunRequest.of(read(spec, plugin or ()))
    resolved = request.plan
    check_names(resolved.trials, resolved.spec.plugins)
    text = "\n".join([summary.plan_table(resolved), *request.remarks])
    text += summary.tuning_table(resolved) if resolved.spec.tune else ""
    facts = summary.trial_facts(resolved.dependencies)
    if calibrate:
        print_status("measuring a few steps of each kind of trial ...")
        text += summary.calibrated(resolved, facts)
    if resolved.spec.tune:
        facts += summary.tuning_facts(resolved)
    print_result(facts, text, as_json)


@app.command(epilog="Examples: tailboard test my_method.py | tailboard test 'SAM-A' --json")
def test(
    method: Annotated[str, typer.Argument(metavar="FILE|METHOD", help="A plugin's file, or a registered method.")],
    as_json: Json = False,
) -> int:
    """Check that a method holds what every method must; exit code 3 where it does not."""
    from ..testing import conformance

    verdicts = {}
    for name, entry in conformance.entries(method).items():
        verdicts[name] = [verdict._asdict() for verdict in conformance.verdicts(entry)]
        if not as_json:
            print_output(f"{name}\n{table(verdicts[name])}\n\n")
    if as_json:
        print(json.dumps(verdicts, indent=1))
    failed = any(verdict["outcome"] == "fail" for found in verdicts.values() for verdict in found)
    return 3 if failed else 0


@app.command("list", epilog="Examples: tailboard list methods | tailboard list specs --json")
def list_(
    what: Annotated[str, typer.Argument(metavar="methods|datasets|networks|metrics|specs")],
    as_json: Json = False,
    plugin: Plugins = None,
) -> None:
    """Print what there is to choose from."""
    from . import listings

    if what not in listings.LISTS:
        raise typer.BadParameter(f"{what!r} is not one of {', '.join(listings.LISTS)}")
    print_result(*listings.listing(what, plugin or ()), as_json)
