"""The commands: with ``data.py``, ``status.py`` and ``options.py`` all that prints. Data goes to stdout,
progress and errors to stderr.

Exit codes: 0 every cell is complete; 1 bad usage or a bad spec; 2 some cells failed or are missing (the table is
still written); 3 protocol violated or verification failed; 130 interrupted, to be resumed by the same command.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from . import bundle as cli_bundle
from . import data as cli_data
from . import errors as mistakes
from . import report as cli_report
from . import status as cli_results
from .options import (
    Address,
    Defaults,
    Json,
    NoVerify,
    Plugins,
    RetryFailed,
    Root,
    Slots,
    SpecArgument,
    StoreOption,
    say,
    show,
    tell,
)  # fmt: skip
from .status import outcome, say_away

INTERRUPTED = 130

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(cli_data.app, name="data")
app.add_typer(cli_results.app)
app.add_typer(cli_report.app)
app.add_typer(cli_bundle.app)


def main() -> NoReturn:
    """Run a command; a mistake of the user's ends in one line and exit code 1, never in a traceback."""
    code = 1
    try:
        code = app(standalone_mode=False) or 0
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except Exception as error:
        line = mistakes.line(error)
        if not line:
            raise
        say(line)
        code = mistakes.code(error)
    if code == INTERRUPTED:  # typer's own code for Ctrl-C too
        say("interrupted; the same command goes on where this one was")
    sys.exit(code)


@app.command(epilog="Example: tailboard quickstart")
def quickstart(slots: Annotated[int | None, typer.Option(help="Trials at a time.")] = None) -> int:
    """Run the shipped spec: the paper's nine methods, five seeds, real images; minutes on two cores."""
    return run("quickstart", slots=slots)


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
    from ..planning import summary as outline
    from ..planning import validation as check
    from ..planning.dependencies import needs
    from ..spec.parser import read
    from ..spec.schema import plan as trials_of

    wanted = read(spec, plugin or ())
    trials = trials_of(wanted)
    check.check_words(trials, wanted.plugins)
    needed = needs(trials, wanted.plugins)
    text = outline.plan_table(trials, needed, wanted)
    text += outline.tuning_table(wanted) if wanted.tune else ""
    facts = outline.trial_facts(needed)
    if calibrate:
        say("measuring a few steps of each kind of trial ...")
        text += outline.calibrated(wanted, needed, facts)
    if wanted.tune:
        facts += outline.tuning_facts(wanted)
    show(facts, text, as_json)


@app.command(epilog="Examples: tailboard test my_method.py | tailboard test 'SAM-A' --json")
def test(
    method: Annotated[str, typer.Argument(metavar="FILE|METHOD", help="A plugin's file, or a registered method.")],
    as_json: Json = False,
) -> int:
    """Check that a method holds what every method must; exit code 3 where it does not."""
    from ..testing import conformance
    from . import listings as describe

    verdicts = {}
    for name, entry in conformance.entries(method).items():
        verdicts[name] = [verdict._asdict() for verdict in conformance.verdicts(entry)]
        if not as_json:
            tell(f"{name}\n{describe.table(verdicts[name])}\n\n")
    if as_json:
        print(json.dumps(verdicts, indent=1))
    failed = any(verdict["outcome"] == "fail" for found in verdicts.values() for verdict in found)
    return 3 if failed else 0


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
    from ..reporting import gather as publish
    from ..scheduling.run import Wanted
    from ..spec.parser import read
    from ..storage.store import Store

    wanted = Wanted(read(spec, plugin or ()), defaults=defaults, again=retry_failed)
    place = Store(store or f"runs/{wanted.spec.name}")
    interrupted = _train(wanted, place, slots, address, root, not no_verify)
    board = publish.gather([place], only=wanted.spec, defaults=defaults)
    tell(f"{board.rendered('md')}\n")  # before the files: a full disk takes no table away
    try:
        for form, path in publish.publish(board, place).items():
            print(f"{form:6} {path}")
    except OSError as error:
        say(f"the report's files could not be written ({error}); the same command writes them")
    return INTERRUPTED if interrupted else outcome(board)


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
    from ..planning import tuned_spec as filled
    from ..scheduling.run import Wanted
    from ..spec.parser import read
    from ..storage.store import Store

    wanted = Wanted(read(spec, plugin or ()), report=False)
    goal = filled.check(wanted.spec, output)
    place = Store(store or f"runs/{wanted.spec.name}")
    interrupted = _train(wanted, place, slots, address, root, not no_verify)
    found = filled.outcome(wanted.spec, place)
    tell(found.table)
    for path in () if found.unfinished else filled.write(found, goal):
        print(path)
    return INTERRUPTED if interrupted else 2 if found.unfinished or found.failed else 0


def _train(wanted: Any, place: Any, slots: int | None, address: str | None, root: Path | None, verify: bool) -> bool:
    """Train what is missing, with what there is to say of it. Whether a signal stopped it."""
    from rich.console import Console

    from ..planning import prepare as job
    from ..scheduling.processes import ended_by_sigterm
    from ..storage.lease import only_driver

    with ended_by_sigterm(), only_driver(place):
        work = job.prepare(wanted, place, root.resolve() if root else None, verify)
        for message in work.damaged:
            say(f"{message}; moved to damaged/, and its trial runs again where it is still needed")
        interrupted, away = job.execute(work, slots, address, Console(stderr=True))
    say_away(away)
    return interrupted


@app.command("list", epilog="Examples: tailboard list methods | tailboard list specs --json")
def list_(
    what: Annotated[str, typer.Argument(metavar="methods|datasets|networks|specs")],
    as_json: Json = False,
    plugin: Plugins = None,
) -> None:
    """Print what there is to choose from."""
    from . import listings as describe

    if what not in describe.LISTS:
        raise typer.BadParameter(f"{what!r} is not one of {', '.join(describe.LISTS)}")
    show(*describe.listing(what, plugin or ()), as_json)
