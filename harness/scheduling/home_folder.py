"""HOME and the user's name, for the libraries of a run that ask for them: in a container there may be neither."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from ..storage.temporary import temporary_folder


@contextmanager
def usable_home() -> Iterator[None]:
    """Inside, HOME is a folder that can be written to and the user has a name, here and in processes that are started.

    Where HOME is none (Ray writes its token there), it is a folder of this run, which is gone at the end; where the
    system does not know the user, the name is its number.
    """
    before = {name: os.environ.get(name) for name in ("HOME", "USER", "LOGNAME")}
    try:
        with temporary_folder() as folder:
            if not _is_usable(before["HOME"]):
                os.environ["HOME"] = str(folder)
            if not _has_name():
                os.environ["USER"] = os.environ["LOGNAME"] = str(os.getuid())
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _is_usable(home: str | None) -> bool:
    """Ray's own folder in it may be all that it needs, as on a cluster's node."""
    if not home or home == "/":
        return False
    try:
        with TemporaryFile(dir=home):
            return True
    except OSError:
        return (Path(home) / ".ray").is_dir()


def _has_name() -> bool:
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return True
