"""One line for each mistake of the user's; a bug of ours is none of them and keeps its traceback."""

from __future__ import annotations

from typing import Any

import typer

UsageError: Any = typer.BadParameter.__base__  # click's own, which newer typers carry inside them


def line(error: Exception) -> str:
    """What to tell the user, or nothing where the error is not the user's."""
    if isinstance(error, UsageError):
        return _usage(error)
    # By name, since importing them all would import torch and ray.
    ours = {"SpecError", "DataError", "MethodError", "NetworkError", "StoreError", "ClusterError", "ReportError"}
    ours |= {"NoBundle", "BundleError", "Untrusted"}
    return f"error: {error}" if type(error).__name__ in ours or isinstance(error, OSError) else ""


def code(error: Exception) -> int:
    """The exit code of such a mistake."""
    return 3 if type(error).__name__ == "BundleError" else 1


def _usage(error: Any) -> str:
    """A wrong word on the command line, and where to look; the whole help where there was no word at all."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return error.ctx.get_help()
    path = error.ctx.command_path if error.ctx else "tailboard"
    return f"error: {error.format_message()} (see {path} --help)"
