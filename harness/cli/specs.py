"""``tailboard plan``, ``init`` and ``schema``: what a spec stands for, a spec to begin with, and what one may say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from ...methods.deferred_torch import defer_torch
from ..errors import SpecError
from ..spec.changes import SpecChanges
from ..spec.yaml_format import load
from ..text import listed
from .options import Json, Name, Plugins, Root, Set, SpecArgument, print_output, print_result, print_status

app = typer.Typer()


@app.command(
    epilog="Examples: tailboard plan quickstart | tailboard plan my.yaml --calibrate | tailboard plan my.yaml --json"
)
def plan(
    spec: SpecArgument,
    as_json: Json = False,
    calibrate: Annotated[bool, typer.Option("--calibrate", help="Measure a few steps to estimate the time.")] = False,
    plugin: Plugins = None,
    methods: Annotated[str | None, typer.Option(help='Only these: "ERM, M2m".')] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="So many seeds.")] = None,
    change: Set = None,
    name: Name = None,
    root: Root = None,
) -> None:
    """Print the trials that a spec stands for, and with --calibrate how long they will take."""
    defer_torch()
    from ..planning import summary
    from ..planning.request import RunRequest, check_names
    from ..spec.parser import read

    request = RunRequest.of(read(spec, plugin or (), SpecChanges(change or (), methods, None, seeds, name), root))
    resolved = request.plan
    check_names(resolved.trials, resolved.spec.plugins, anew=False)
    if resolved.spec.figure:
        from ..reporting.figures.study import check_axes

        check_axes(resolved.spec)
    text = "\n".join([summary.plan_table(resolved), *request.remarks])
    text += summary.tuning_table(resolved) if resolved.spec.tune else ""
    facts = summary.trial_facts(resolved.dependencies)
    if calibrate:
        from ..planning.calibration import summary as measured

        print_status("measuring a few steps of each kind of trial ...")
        text += measured.calibrated(resolved, facts)
    if resolved.spec.tune:
        facts += summary.tuning_facts(resolved)
    print_result(facts, text, as_json)


@app.command(epilog='Examples: tailboard init | tailboard init mine.yaml --data folder:photos --methods "ERM, M2m"')
def init(
    file: Annotated[Path, typer.Argument(help="The new file.")] = Path("tailboard.yaml"),
    data: Annotated[str, typer.Option(help="A data set, or images as folder:PATH.")] = "fashion-mnist-mini",
    methods: Annotated[str, typer.Option(help="Names, with commas between them.")] = "ERM, Resampling, LDAM-DRW, M2m",
) -> None:
    """Write a spec to begin with, with what each field means beside it."""
    defer_torch()
    from ..planning.request import RunRequest, check_names
    from ..spec.parser import parse
    from .descriptions.template import commented_spec

    if file.exists():
        raise SpecError(f"{file} is there already; name another file")
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).strip("._-") or "mine"
    text = commented_spec(str(file), stem, data, listed(methods))
    resolved = RunRequest.of(parse(load(text), file.parent)).plan
    check_names(resolved.trials, resolved.spec.plugins, anew=False)
    file.write_text(text, encoding="utf-8")
    print_output(f"{file} is written: tailboard plan {file} prints what it stands for, tailboard run {file} trains it")


@app.command(epilog="Example: tailboard schema > tailboard.schema.json")
def schema() -> None:
    """Print the JSON schema of a spec's file, by which editors complete and check it."""
    from .descriptions.json_schema import json_schema

    print(json.dumps(json_schema(), indent=1))
