"""``tailboard quickstart``, ``run`` and ``tune``: training what a spec asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import (
    INTERRUPTED,
    Address,
    Defaults,
    NoVerify,
    Plugins,
    RetryFailed,
    Root,
    Slots,
    SpecArgument,
    StoreOption,
    print_output,
    print_status,
)
from .status import outcome

app = typer.Typer()


@app.command(epilog="Example: tailboard quickstart")
def quickstart(slots: Annotated[int | None, typer.Option(help="Trials at a time.")] = None) -> int:
    """Run the shipped spec: the paper's nine methods and a control, five seeds, real images; minutes on two cores."""
    return run("quickstart", slots=slots)


@app.command(epilog="Examples: tailboard run quickstart | tailboard run my.yaml --store /mnt/shared/my --slots 8")
def run(
    spec: SpecArgument,
    store: StoreOption = None,
    slots: Slots = None,
    address: Address = None,
    root: Root = None,
    no_verify: NoVerify = False,
    plugin: Plugins = None,
    defaults: Defaults = False,
    retry_failed: RetryFailed = False,
) -> int:
    """Run every trial of a spec that is not finished yet, then print the leaderboard.

    The same command resumes: a finished trial never runs again. Ctrl-C once lets running trials save themselves.
    Where the spec has a block tune, every method is tuned first, on validation images.
    """
    from ..api import train
    from ..planning.prepare import RunRequest
    from ..reporting import gather
    from ..spec.parser import read
    from ..storage.store import Store

    request = RunRequest.of(read(spec, plugin or ()), defaults=defaults, again=retry_failed)
    place = Store(store or f"runs/{request.spec.name}")
    trained = train(request, place, slots=slots, address=address, root=root, verify=not no_verify, say=print_status)
    report = gather.gather([place], only=trained.plan, defaults=defaults)
    files = {}
    try:  # before it is printed: who reads it may go. But a full disk takes no table away
        files = gather.publish(report, place)
    except OSError as error:
        print_status(f"the report's files could not be written ({error}); the same command writes them")
    print_output(f"{report.rendered('md')}\n")
    for form, path in files.items():
        print(f"{form:6} {path}")
    return INTERRUPTED if trained.interrupted else outcome(report)


@app.command(epilog="Examples: tailboard tune my.yaml | tailboard tune tuned-mini -o found.yaml --slots 8")
def tune(
    spec: SpecArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The new spec; NAME-tuned.yaml if not given.")
    ] = None,
    store: StoreOption = None,
    slots: Slots = None,
    address: Address = None,
    root: Root = None,
    no_verify: NoVerify = False,
    plugin: Plugins = None,
) -> int:
    """Only tune the methods of a spec, and write a new spec with the values that were found, to read, edit and run."""
    from ..api import train
    from ..planning import tuned_spec
    from ..planning.prepare import RunRequest
    from ..spec.parser import read
    from ..storage.store import Store

    request = RunRequest.of(read(spec, plugin or ()), report=False)
    goal = tuned_spec.output_path(request.spec, output)
    place = Store(store or f"runs/{request.spec.name}")
    trained = train(request, place, slots=slots, address=address, root=root, verify=not no_verify, say=print_status)
    tuned = tuned_spec.TunedSpec(request.spec, trained.plan.results)
    print_output(tuned.table)
    for path in () if tuned.unfinished else tuned_spec.save(tuned, goal):
        print(path)
    return INTERRUPTED if trained.interrupted else 2 if tuned.unfinished or tuned.failed else 0
