"""A method from a file: its text is run as a module, and what it registers is returned."""

from __future__ import annotations

import hashlib
import sys
import traceback
from functools import cache
from pathlib import Path
from types import ModuleType

from .deferred_torch import load_torch
from .names import read_as
from .part import MethodError
from .recipe import Entry, registrations
from .registry import registry
from .text_file import read_text

MODULE = "tailboard_plugin_"  # begins the name of the module that a plugin's text is run as, and of its file


def plugin_line(error: BaseException) -> int | None:
    """The line of a plugin's text in which an error came up, or which called what raised it; None of another's."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(MODULE)]
    return lines[-1] if lines else None


def read_plugin(path: Path) -> str:
    """The plugin's source. MethodError where it cannot be read as text."""
    try:
        return read_text(path)
    except (OSError, ValueError) as error:
        raise MethodError(f"the plugin {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def plugin_file(path: Path) -> tuple[str, dict[str, Entry]]:
    """The plugin's source, and the methods that it registers. MethodError as `read_plugin` and `load_plugin`, with the
    file's name."""
    text = read_plugin(path)
    try:
        return text, load_plugin(text)
    except MethodError as error:
        raise MethodError(f"{path}: {error}") from error


@cache
def load_plugin(text: str) -> dict[str, Entry]:
    """The methods that the plugin's source registers, by name; run once for each process.

    Running it is running its author's code: a plugin is trusted like any package one installs.
    MethodError where it fails, with the line, registers nothing, or a name that reads like that of another method.
    """
    load_torch()
    registry()  # ours first, so that a plugin may add to them and may not take their names
    module = ModuleType(f"{MODULE}{hashlib.sha256(text.encode()).hexdigest()[:12]}")
    sys.modules[module.__name__] = module  # dataclasses look their module up by name
    try:
        with registrations() as entries:
            exec(compile(text, module.__name__, "exec"), module.__dict__)  # noqa: S102
    except (Exception, SystemExit) as error:
        line, words = plugin_line(error), str(error)
        if isinstance(error, SyntaxError) and error.filename == module.__name__:
            line, words = error.lineno, error.msg
        where = f"line {line}: " if line else ""
        if isinstance(error, ModuleNotFoundError):
            words += "; a plugin is one file, whose text alone is kept and sent: it imports what is installed"
        kind = "" if isinstance(error, MethodError) else f"{type(error).__name__}: "
        raise MethodError(f"the plugin fails: {where}{kind}{words}") from error
    if not entries:
        raise MethodError('the plugin registers no method; end it with register("My method", Recipe(...))')
    for name in entries:
        if other := read_as(name, registry()):
            raise MethodError(f"the plugin's method {name!r} reads like {other}, which is another: call it otherwise")
    return entries
