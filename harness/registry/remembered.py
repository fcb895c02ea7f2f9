"""What was found out before by running this package's own code, such as which methods passed their check: it need not
be found out again under the same code.

Each kind of it is a file in tailboard's cache, whose first line is a hash of the code. The code of others is not looked
at: nothing that depends on it is kept.
"""

from __future__ import annotations

import hashlib
import sys
from contextlib import suppress
from functools import cache as once
from pathlib import Path

from ...datasets.catalog import DataError
from ...datasets.files import cache, read_bytes
from ...datasets.user_images.scan import write_whole

ROOT = Path(__file__).resolve().parents[2]
MOST_BYTES = 2**20  # of a file; one that would be larger begins anew


@once
def code() -> str:
    """A hash of all that such code runs: Python, this package's files, and the names and versions of what is
    installed."""
    folders = [Path(folder) for folder in sys.path if folder and Path(folder).is_dir()]
    installed = sorted(each.name for folder in folders for each in folder.glob("*.*-info"))
    found = hashlib.sha256("\n".join([sys.version, *installed]).encode())
    for folder in ("methods", "datasets", "harness"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            found.update(f"\n{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return found.hexdigest()


def remembered(kind: str) -> frozenset[str]:
    """The lines of a kind that were kept under this code; none where there is no such file."""
    try:
        first, *lines = read_bytes(_file(kind), MOST_BYTES).decode("ascii").splitlines()
    except (OSError, ValueError, DataError):
        return frozenset()
    return frozenset(lines) if first == code() else frozenset()


def remember(kind: str, lines: frozenset[str]) -> None:
    """Keep lines of a kind, whole or not at all; where nothing can be written, they are found out again."""
    text = "\n".join([code(), *sorted(lines)])
    if len(text) <= MOST_BYTES:
        with suppress(OSError):
            write_whole(_file(kind), text)


def _file(kind: str) -> Path:
    return cache() / "methods" / f"{kind}.txt"  # a folder: data sets are looked for anew where the cache's own changes
