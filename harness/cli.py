"""The commands: the only file that prints. Data goes to stdout, progress and errors to stderr.

Exit codes: 0 every cell is complete; 1 bad usage or a bad spec; 2 some cells failed or are missing (the table is
still written); 3 protocol violated; 130 interrupted, to be resumed by the same command.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from . import mistakes

INTERRUPTED = 130

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
data_app = typer.Typer(no_args_is_help=True, help="What is learned from: list, prepare, verify, profile.")
app.add_typer(data_app, name="data")

SpecArgument = Annotated[str, typer.Argument(metavar="SPEC", help="A YAML file, or the name of a shipped spec.")]
Json = Annotated[bool, typer.Option("--json", help="For machines.")]
Root = Annotated[Path | None, typer.Option(help="The folder that holds the data.", show_default=False)]
NoVerify = Annotated[bool, typer.Option("--no-verify", help="Take data whose checksums differ; the table shows it.")]
Plugins = Annotated[list[Path] | None, typer.Option("--plugin", help="A file whose methods are compared too.")]
Few = Annotated[int | None, typer.Option(help="Few are classes with fewer training images.", show_default="20")]
Many = Annotated[int | None, typer.Option(help="Many are classes with more.", show_default="100")]
Tercile = Annotated[bool, typer.Option("--tercile", help="Rank the classes into thirds instead of counting.")]


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
        _say(line)
    if code == INTERRUPTED:  # typer's own code for Ctrl-C too
        _say("interrupted; the same command goes on where this one was")
    sys.exit(code)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _show(facts: Any, text: str, as_json: bool) -> None:
    print(json.dumps(facts, indent=1) if as_json else text)


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
    from . import check, outline
    from .needs import needs
    from .spec import plan as trials_of
    from .specfile import read

    wanted = read(spec, plugin or ())
    trials = trials_of(wanted)
    check.check_words(trials, wanted.plugins)
    needed = needs(trials, wanted.plugins)
    text = outline.plan_table(trials, needed, wanted)
    facts = outline.trial_facts(needed)
    if calibrate:
        _say("measuring a few steps of each kind of trial ...")
        text += outline.calibrated(wanted, needed, facts)
    _show(facts, text, as_json)


@app.command(epilog="Examples: tailboard test my_method.py | tailboard test 'SAM-A' --json")
def test(
    method: Annotated[str, typer.Argument(metavar="FILE|METHOD", help="A plugin's file, or a registered method.")],
    as_json: Json = False,
) -> int:
    """Check that a method holds what every method must; exit code 3 where it does not."""
    from . import conformance, describe

    verdicts = {}
    for name, entry in conformance.entries(method).items():
        verdicts[name] = [verdict._asdict() for verdict in conformance.verdicts(entry)]
        if not as_json:
            print(f"{name}\n{describe.table(verdicts[name])}\n")
    if as_json:
        print(json.dumps(verdicts, indent=1))
    failed = any(verdict["outcome"] == "fail" for found in verdicts.values() for verdict in found)
    return 3 if failed else 0


@app.command(epilog="Examples: tailboard run quickstart | tailboard run my.yaml --store /mnt/shared/my --slots 8")
def run(
    spec: SpecArgument,
    store: Annotated[str | None, typer.Option(help="A folder or URL; runs/NAME if not given.")] = None,
    slots: Annotated[int | None, typer.Option(min=1, help="Trials at a time; fills the machine if not given.")] = None,
    address: Annotated[str | None, typer.Option(envvar="RAY_ADDRESS", help="A running Ray cluster to join.")] = None,
    root: Root = None,
    no_verify: NoVerify = False,
    plugin: Plugins = None,
) -> int:
    """Run every trial of a spec that is not finished yet, then print the leaderboard.

    The same command resumes: a finished trial never runs again. Ctrl-C once lets running trials save themselves.
    """
    from rich.console import Console

    from . import job, publish
    from .specfile import read
    from .store import Store

    wanted = read(spec, plugin or ())
    place = Store(store or f"runs/{wanted.name}")
    work = job.prepare(wanted, place, root.resolve() if root else None, not no_verify)
    for message in work.damaged:
        _say(f"{message}; its trial runs again")
    interrupted, away = job.execute(work, slots, address, Console(stderr=True))
    _say_away(away)
    board = publish.gather([place], only=wanted)
    written = publish.publish(board, place)
    print(board.rendered("md"))
    for form, path in written.items():
        print(f"{form:6} {path}")
    return INTERRUPTED if interrupted else _outcome(board)


@app.command(epilog="Examples: tailboard status runs/quickstart | tailboard status s3://bucket/mine --json")
def status(store: Annotated[str, typer.Argument()], as_json: Json = False) -> None:
    """Print how far a store is, what failed and why, and where MLflow's page is."""
    from . import describe
    from .store import Store

    facts = describe.status_facts(Store(store))
    _show(facts, describe.status_table(facts), as_json)


@app.command(
    epilog="Examples: tailboard report runs/quickstart | tailboard report a b --format latex -o table.tex --versus ERM"
)
def report(
    stores: Annotated[list[str], typer.Argument(metavar="STORE...")],
    form: Annotated[str, typer.Option("--format", help="md, latex, csv or json.")] = "md",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A file instead of stdout.")] = None,
    versus: Annotated[str | None, typer.Option(help="Compare every method with this one, seed by seed.")] = None,
    quote: Annotated[bool, typer.Option("--published", help="Quote all published rows, on whatever data.")] = False,
    few: Few = None,
    many: Many = None,
    tercile: Tercile = False,
) -> int:
    """Print the leaderboard of one or several stores."""
    from . import publish, tracker
    from .specfile import parse_shots
    from .store import Store

    places = [Store(store) for store in stores]
    board = publish.gather(places, parse_shots(few, many, tercile))
    text = board.rendered(form, versus, quote)
    if output:
        output.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    for place in places:
        _say_away(tracker.catch_up_all(place))
    return _outcome(board)


@app.command("list", epilog="Examples: tailboard list methods | tailboard list specs --json")
def list_(
    what: Annotated[str, typer.Argument(metavar="methods|datasets|networks|specs")],
    as_json: Json = False,
    plugin: Plugins = None,
) -> None:
    """Print what there is to choose from."""
    from . import describe

    if what not in describe.LISTS:
        raise typer.BadParameter(f"{what!r} is not one of {', '.join(describe.LISTS)}")
    _show(*describe.listing(what, plugin or ()), as_json)


@data_app.command("list", epilog="Example: tailboard data list")
def data_list(as_json: Json = False) -> None:
    """Print the data sets that are known."""
    list_("datasets", as_json)


@data_app.command("prepare", epilog="Example: tailboard data prepare cifar10 --root /data")
def data_prepare(name: str, root: Root = None) -> None:
    """Fetch a data set over the network; nothing else does."""
    from ..datasets.catalog import DataError
    from .data import dataset

    known = dataset(name)
    if known.prepare is None:
        raise DataError(f"{name} needs no preparation: {known.description}")
    print(known.prepare(root))


@data_app.command("verify", epilog="Example: tailboard data verify cifar10 --root /data")
def data_verify(name: str, root: Root = None) -> int:
    """Check a data set's files against the official checksums; exit code 3 where they differ."""
    from .data import pool

    found = pool(name, root, False)
    for file, checksum in found.hashes.items():
        print(f"{checksum}  {file}")
    print("verified: the official bytes" if found.verified else "not verified: these are not the official bytes")
    return 0 if found.verified else 3


@data_app.command("profile", epilog="Example: tailboard data profile cifar100 --imbalance-factor 100")
def data_profile(
    name: str,
    imbalance_factor: Annotated[float, typer.Option()],
    profile: Annotated[str, typer.Option(help="exp or step.")] = "exp",
    head: Annotated[int | None, typer.Option(help="Images of the largest class.", show_default="all")] = None,
    few: Few = None,
    many: Many = None,
    tercile: Tercile = False,
    as_json: Json = False,
) -> None:
    """Print the training images of each class and its shots, without touching the images."""
    from . import describe
    from .data import dataset, long_tail
    from .specfile import parse_data, parse_shots

    data = parse_data({"name": name, "imbalance_factor": imbalance_factor, "profile": profile, "head": head})
    facts = describe.profile_facts(dataset(name), long_tail(data), parse_shots(few, many, tercile))
    _show(facts, describe.profile_table(facts), as_json)


def _say_away(reason: str) -> None:
    if reason:
        _say(f"MLflow could not be written to ({reason}); the next run or report fills in what is missing")


def _outcome(board: Any) -> int:
    for message in board.damaged:
        _say(f"error: {message}")
    return 0 if board.complete else 2
