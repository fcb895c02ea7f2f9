"""The command ``tailboard``: its groups of commands, and how errors end it. Data goes to stdout, progress and errors to
stderr.

Exit codes: 0 every cell is complete; 1 bad usage or a bad spec; 2 some cells failed or are missing (the table is
still written); 3 protocol violated or verification failed; 130 interrupted, to be resumed by the same command; 141 who
read the output has gone.
"""

from __future__ import annotations

import io
import os
import sys
from importlib.metadata import version
from typing import Annotated, Any, NoReturn

import typer

from ... import UserError
from ..errors import INTERRUPTED
from ..memory import leave_at_exit
from . import bundle, data, figure, methods, prediction, report, run, specs, status
from .options import print_output, print_status

STDOUT, CLOSED_PIPE = 1, 141  # what a shell reports of a program that SIGPIPE ends

UsageError: Any = typer.BadParameter.__base__  # click's own, which newer typers carry inside them
NoArguments: Any = getattr(sys.modules[UsageError.__module__], "NoArgsIsHelpError", ())
app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(run.app)
app.add_typer(specs.app)
app.add_typer(methods.app)
app.add_typer(status.app)
app.add_typer(report.app)
app.add_typer(figure.app)
app.add_typer(prediction.app)
app.add_typer(data.app, name="data")
app.add_typer(bundle.app)


def _print_version(asked: bool) -> None:
    if asked:
        print_output(f"tailboard {version('tailboard')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A benchmark for learning under class imbalance."""


def main() -> NoReturn:
    """Run a command; an error of the user's ends in one line and its exit code, never in a traceback."""
    leave_at_exit()
    code = 1
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal whose encoding lacks a character gets a replacement
            stream.reconfigure(errors="replace")
    try:
        code = app(standalone_mode=False) or 0
        sys.stdout.flush()
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except UsageError as error:
        print_status(_usage(error))
    except SystemExit as ended:  # typer's own way of ending at a pipe that is closed
        code = CLOSED_PIPE if isinstance(ended.__context__, BrokenPipeError) else ended.code
    except BrokenPipeError:
        code = CLOSED_PIPE
    except (UserError, OSError) as error:
        print_status(f"error: {_of_system(error) or error}")
        code = getattr(error, "exit_code", 1)
    if code == INTERRUPTED:  # typer's own code for Ctrl-C too
        print_status("interrupted; the same command goes on where this one was")
    if code == CLOSED_PIPE:  # what is left to be read goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
    sys.exit(code)


def _of_system(error: Exception) -> str:
    """What the system says of a file, without its number; nothing of another error."""
    if isinstance(error, UserError) or not isinstance(error, OSError) or not error.strerror or error.filename is None:
        return ""
    return f"{error.filename}: {error.strerror[0].lower()}{error.strerror[1:]}"


def _usage(error: Any) -> str:
    """A wrong word on the command line, and where to look; the whole help where there was no word at all."""
    if isinstance(error, NoArguments):
        return error.ctx.get_help()
    path = error.ctx.command_path if error.ctx else "tailboard"
    message = error.format_message().replace(": Input should", ": it should").partition(", unable to parse")[0]
    return f"error: {message} (see {path} --help)"
