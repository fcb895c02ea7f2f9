"""The files of data sets: where they are looked for, and what vouches for them."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any

from .catalog import DataError


def cache() -> Path:
    """tailboard's folder for what it can fetch or make again: ``$XDG_CACHE_HOME/tailboard``.

    A relative one counts for nothing, as its standard says: each process would have another.
    """
    named = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    try:
        return (named if named.is_absolute() else Path("~/.cache")).expanduser() / "tailboard"
    except RuntimeError:  # a user without a name and HOME: nothing can be kept
        return Path("/nonexistent/.cache/tailboard")


def roots(root: Path | None) -> list[Path]:
    """The data folders in order of preference: ``root``, the variable ``TAILBOARD_DATA``, the cache.

    Raises:
        DataError: where a home folder cannot be found.
    """
    named = [root, os.environ.get("TAILBOARD_DATA")]
    try:
        return [*(Path(folder).expanduser() for folder in named if folder), cache()]
    except RuntimeError as error:
        raise DataError(f"the data folder cannot be found: {error}") from None


def data_folders(root: Path | None) -> list[Path]:
    """Those of ``roots`` in which files of the user's own are looked for: not the cache, which is ours."""
    return roots(root)[:-1]


def folders_for(name: str, root: Path | None) -> list[Path]:
    """The folders in which to look for the data set ``name``: in each data folder, ``name`` and the folder itself."""
    return list(dict.fromkeys(place for folder in roots(root) for place in (folder / name, folder)))


def checksum(path: Path, algorithm: str) -> str:
    """The checksum of a file's bytes as ``"md5:..."`` or ``"sha256:..."``."""
    with regular_file(path) as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def checksum_bytes(data: bytes, algorithm: str) -> str:
    """The same of bytes in memory."""
    return f"{algorithm}:{hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()}"


def regular_file(path: Path) -> BufferedReader:
    """A file, open for reading. DataError for a pipe, which is not waited for, or a device; IsADirectoryError for a
    folder; another OSError where there is no file, or none that can be read."""
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    mode = os.fstat(number).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(number, "rb")
    os.close(number)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise DataError(f"{path} is no file but a pipe or a device")


def read_bytes(path: Path, most: int) -> bytes:
    """The bytes of a regular file of at most ``most``; DataError for a larger one, a pipe or a device."""
    with regular_file(path) as file:
        return bounded(file, most, path)


def bounded(file: Any, most: int, path: Path | str) -> bytes:
    """All that is left of an open file, which may be unpacked while it is read; DataError beyond ``most`` bytes.

    Args:
        file: The open file.
        most: The most bytes that may be left of it.
        path: Its name, for the message.
    """
    data = file.read(most + 1)
    if len(data) > most:
        raise DataError(f"{path} is not what it should be: it holds more than {most:,} bytes")
    return data


def vouch(folder: Path, checksums: Mapping[str, str], official: Mapping[str, str], verify: bool) -> bool:
    """Whether every checksum found is the official one; both map a file's name to its checksum.

    Raises DataError where one differs and ``verify`` is set.

    Args:
        folder: Where the files lie, for the message.
        checksums: What was found.
        official: What is right.
        verify: Whether a difference is an error.
    """
    wrong = [name for name, expected in official.items() if checksums[name] != expected]
    if wrong and verify:
        raise DataError(
            f"{folder / wrong[0]} is not the official file: found {checksums[wrong[0]]}, expected "
            f"{official[wrong[0]]}. "
            "It may be damaged or cut short: delete it and fetch it again. "
            "Or use --no-verify to go on; the table will show it as unverified."
        )
    return not wrong


def damaged(path: Path | str, reason: object) -> DataError:
    """The error for a file that cannot be read as what it should be."""
    return DataError(
        f"{path} is damaged or cut short ({str(reason) or type(reason).__name__}): delete it and fetch it again."
    )


def missing(name: str, searched: Sequence[Path], layout: str, terms: str, fetch: str) -> DataError:
    """The error for a data set that is in none of the folders: where we looked, for what, and how to get it.

    Args:
        name: Of the data set.
        searched: The folders.
        layout: What should lie there.
        terms: Under which the files may be had.
        fetch: The command or page that gets them.
    """
    looked = "\n".join(f"  {place}{'' if place.is_dir() else '  (no such folder)'}" for place in searched)
    return DataError(
        f"the data set {name!r} was not found. Looked in:\n{looked}\n"
        f"Expected in one of them:\n  {layout}\nTo get it: {fetch}\nTerms: {terms}"
    )
