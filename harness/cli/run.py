"""``tailboard quickstart``, ``run`` and ``tune``: training what a spec asks for."""

from __future__ import annotations

import re
import shlex
from functools import cache as once
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ... import UserError
from ...methods.deferred_torch import defer_torch, end_deferral
from ..errors import INTERRUPTED, SpecError
from ..memory import uncollected
from ..spec.changes import NO_OTHER_PLAN, SpecChanges
from .options import (
    Address,
    Defaults,
    Name,
    NoVerify,
    Plugins,
    Quiet,
    RetryFailed,
    Root,
    Set,
    Slots,
    SpecArgument,
    StoreOption,
    for_reader,
    print_output,
    print_status,
)
from .status import outcome, print_unreachable

if TYPE_CHECKING:
    from ..reporting.report import Report
    from ..spec.schema import Spec
    from ..storage.store import Store

app = typer.Typer()


@app.command(epilog="Example: tailboard quickstart")
def quickstart(slots: Slots = None) -> int:
    """Run the shipped spec: the paper's nine methods and a control, five seeds, real images; minutes on two cores."""
    return run("quickstart", slots=slots)


@app.command(
    epilog="Examples: tailboard run my.yaml --slots 8 | tailboard run quickstart --set training.epochs=60 --seeds 3"
)
def run(
    spec: Annotated[str | None, typer.Argument(metavar="[SPEC]", help="A YAML file, or a shipped spec's name.")] = None,
    data: Annotated[str | None, typer.Option(help="Instead of a spec: folder:PATH, csv:FILE ...")] = None,
    label: Annotated[str | None, typer.Option(help="With --data: the column of a csv.")] = None,
    group: Annotated[str | None, typer.Option(help="With --data: the column of what belongs together.")] = None,
    weight: Annotated[str | None, typer.Option(help="With --data: the column of how much a row counts.")] = None,
    methods: Annotated[str | None, typer.Option(help='Only these, such as "ERM, M2m"; a plugin adds its own.')] = None,
    network: Annotated[str | None, typer.Option(help="Another network.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="So many seeds.")] = None,
    change: Set = None,
    name: Name = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="With --data: how long it may take.")] = None,
    store: StoreOption = None,
    slots: Slots = None,
    address: Address = None,
    root: Root = None,
    no_verify: NoVerify = False,
    plugin: Plugins = None,
    defaults: Defaults = False,
    retry_failed: RetryFailed = False,
    quiet: Quiet = False,
) -> int:
    """Run every trial of a spec that is not finished yet, then print the leaderboard.

    The same command resumes: a finished trial never runs again. Ctrl-C once lets running trials save themselves.
    Where the spec has a block tune, every method is tuned first, on validation images or rows.
    With --data no spec is needed: the defaults fit the data, and the table is followed by a recommendation. Without
    --methods, images are compared by the paper's nine and a control, a table by up to a dozen on two estimators.
    """
    with uncollected():
        defer_torch()
        from ..driver import RunRequest, train
        from ..spec.parser import read
        from ..storage.store import Store

        end_deferral()
    images = {"label": label, "group": group, "weight": weight, "minutes": minutes}
    changes = SpecChanges(change or (), methods, network, seeds, name)
    _check_options(spec, data, images, {"set": change, "name": name})
    if data is not None:
        from ...datasets.user_tables.source import is_user_table
        from ..planning import image_run, table_run

        own = images | {"methods": methods, "network": network, "seeds": seeds, "plugins": plugin}
        given = {key: value for key, value in own.items() if value is not None}
        planned = table_run if is_user_table({"name": data}, Path()) else image_run
        asked, place = planned.resolve(image_run.ImageRequest(data, **given), store, print_status, root)
    else:
        asked = read(str(spec), plugin or (), changes, root=root)
        if changes != SpecChanges() and not quiet:
            print_status(f"the changed spec is called {asked.name}")
        place = Store(store or f"runs/{asked.name}")
        if name is not None:
            _check_name(asked, place)
    request = RunRequest.of(asked, defaults=defaults, again=retry_failed)
    where = {"slots": slots, "address": address, "root": root, "verify": not no_verify}
    trained = train(request, place, **where, say=print_status, quiet=quiet)
    with uncollected():  # these import pandas: trials do not wait for that
        from ..reporting import gather
        from ..reporting.natural_frequencies import with_further_metrics
        from ..reporting.pages import html_pages
        from ..tracking.background import tell_report

    gathered = once(partial(gather.gather, [place], only=trained.plan, defaults=defaults))  # MLflow is told the same
    report = with_further_metrics(gathered, [place])
    files = {}
    try:  # before it is printed: who reads it may go. But a full disk takes no table away
        files = gather.publish(report, place)
    except OSError as error:
        print_status(f"the report's files could not be written ({error}); the same command writes them")
    print_output(f"{report.rendered(for_reader('md'))}\n")
    if data is not None and not trained.interrupted:
        _recommend(report, place, plugin or [])
    for form, path in files.items():
        print(f"{form:6} {path}")
    if asked.figure:
        _draw(asked, place)
    if trained.tracked and not trained.interrupted:
        print_unreachable(tell_report(asked, place, partial(html_pages.contents, store=place, gathered=gathered)))
    return INTERRUPTED if trained.interrupted else outcome(report)


def _draw(spec: Spec, store: Store) -> None:
    """Print the figure that the spec asks for, and where it is; it takes no table away."""
    from ..reporting.figures.request import FigureRequest
    from ..reporting.figures.study import publish

    asked = FigureRequest.of(spec)
    assert asked is not None  # noqa: S101  (for the type checker)
    try:
        drawn, files = publish(store, asked)
    except (UserError, OSError) as error:
        print_status(f"the figure could not be drawn ({error})")
        return
    print_output(f"\n{drawn.text()}\n")
    if "figure" not in files:
        print_status('a picture needs matplotlib: pip install "tailboard[figures]"')
    for form, path in files.items():
        print(f"{form:6} {path}")


def _check_options(spec: str | None, data: str | None, images: dict[str, Any], changes: dict[str, Any]) -> None:
    """SpecError where neither a spec nor --data is named, or both, or one has an option that is the other's."""
    if (spec is None) == (data is None):
        both = f", not both; leave {spec} or --data {data} out" if spec is not None else ""
        raise SpecError(f"run: name a spec, or --data{both}")
    wrong, with_ = (images, "--data") if spec else (changes, "a spec")
    if only := ", ".join(f"--{key}" for key, value in wrong.items() if value):
        raise SpecError(f"{only}: only with {with_}")


def _check_name(spec: Spec, store: Store) -> None:
    """SpecError where the store has another plan under the name that was given on the command line."""
    asked = spec.canonical_without(*NO_OTHER_PLAN)
    for stored in store.plans() if store.exists() else ():
        if stored.name == spec.name and stored.canonical_without(*NO_OTHER_PLAN) != asked:
            raise SpecError(
                f"--name {spec.name}: {store} holds another plan of that name, which would be replaced; choose another "
                "name, or a --store of its own"
            )


def _recommend(report: Report, store: Store, plugins: list[Path]) -> None:
    """Say which method the table speaks for, and how a model is made of it; of a plugin's with the files that ran."""
    from ..reporting import natural_frequencies
    from ..reporting.recommendation import recommendation

    advice = recommendation(report, store)
    if not advice.method:
        print_output("No method is complete, so none is recommended.\n")
        return
    place, here = Path(store.url), Path.cwd()
    shown = str(place.relative_to(here)) if store.local and place.is_relative_to(here) else store.url
    goal = re.sub(r"[^a-z0-9]+", "-", advice.method.lower()).strip("-")
    unsure = advice.ambiguous or len(store.plans()) > 1  # another plan may have a row of that name
    which = ["--key", advice.key] if unsure else ["--method", advice.method]
    trial = store.record(advice.key).trial
    trusted = [word for file in plugins if trial.method.plugin for word in ("--plugin", str(file))]
    command = shlex.join(["tailboard", "train", shown, *which, *trusted, "-o", f"{goal}.model"])
    what = "rows" if trial.data.is_table else "images"
    last = f"A model of it, trained on all {what} but those for testing: {command}"
    print_output("\n".join([*advice.sentences, *natural_frequencies.sentences(report), last, ""]))


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
    defer_torch()
    from ..driver import RunRequest, train
    from ..planning import tuned_spec
    from ..spec.parser import read
    from ..storage.store import Store

    end_deferral()
    request = RunRequest.of(read(spec, plugin or (), root=root), report=False)
    goal = tuned_spec.output_path(request.spec, output)
    place = Store(store or f"runs/{request.spec.name}")
    trained = train(request, place, slots=slots, address=address, root=root, verify=not no_verify, say=print_status)
    tuned = tuned_spec.TunedSpec(request.spec, trained.plan.results)
    print_output(tuned.table)
    for path in () if tuned.unfinished else tuned_spec.save(tuned, goal):
        print(path)
    return INTERRUPTED if trained.interrupted else 2 if tuned.unfinished or tuned.failed else 0
