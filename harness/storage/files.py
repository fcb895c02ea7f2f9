"""Files: bytes by name at one place, on any file system. Each is written whole or not at all; a place that answers with
errors for a while is asked again; and nothing in it leads out of it or is read without a bound.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec
import numpy as np
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from ..errors import StoreError
from . import paths
from .columns.stamps import stamped
from .places import WritablePlace
from .retry import status, with_retries

MIB = 1 << 20
STALE_PART_SECONDS = 3600.0  # no file takes so long to write
LARGEST = 16 * MIB  # bytes of a file that is text; a record of 8,142 classes has half a MiB
LARGEST_OF = {
    paths.ARRAYS[0]: 2048 * MIB,
    paths.WEIGHTS[0]: 16384 * MIB,
    paths.CHECKPOINTS[0]: 16384 * MIB,
    paths.STUDIES: 1024 * MIB,
    paths.INDEX: 2048 * MIB,
}
_NOWHERE = frozenset({"", ".", ".."})  # parts of a path that are no file's or folder's own
AHEAD = 64  # files that the disk is asked for before the first of them is waited for
SMALL = 1 << 16  # bytes of each that it is asked for
_OPEN = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


Stamp = tuple[int, int]  # bytes of a file, and when it was written or what is in it


class Files(WritablePlace):
    """A folder or bucket: a local path, or a URL that fsspec knows (``s3://``, ``gs://``).

    Names are relative to it. StoreError for one that would lead elsewhere, by its words or by a link.
    """

    def __init__(self, url: str | os.PathLike) -> None:
        # Absolute, since workers run in other folders.
        try:
            self.url = str(url) if "://" in str(url) else str(Path(url).expanduser().resolve())
        except (RuntimeError, ValueError, OSError) as error:  # such as ~nobody/x
            raise StoreError(f"{url} cannot be a store: {error}") from error
        try:
            if urlsplit(self.url).password:
                raise StoreError("keep the password out of --store: it would be shown in messages and reports")
            # fsspec would take exp::1 for the file 1 inside of exp.
            remote = "://" in self.url
            self.files, root = fsspec.core.url_to_fs(self.url) if remote else (LocalFileSystem(), self.url)
        except (ValueError, ImportError) as error:  # an unknown protocol, or one whose package is not installed
            raise StoreError(f"{self.url} cannot be a store: {error}") from error
        self.root = root.rstrip("/")
        self.local = isinstance(self.files, LocalFileSystem)
        if self.local and os.path.isfile(self.root):  # noqa: PTH113  (Path's raises for a name that is too long)
            raise StoreError(f"{self.url} is a file: a store is a folder")

    def __str__(self) -> str:
        return self.url

    def require_shared(self) -> None:
        """StoreError where no other process can see what is written."""
        if isinstance(self.files, MemoryFileSystem):
            raise StoreError(f"{self.url} is in the memory of this process, and trials are trained in others")

    def write(self, name: str, data: bytes) -> None:
        """Whole or not at all: an object store writes so by itself, a file is renamed into place."""
        self._with_retries(_write if self.local else self.files.pipe_file, self._place(name), data)

    def create(self, name: str, data: bytes) -> None:
        """A new file. FileExistsError where there is one: of many processes that create it at once, one does."""
        self._with_retries(partial(self.files.pipe_file, mode="create"), self._place(name), data)

    def read(self, name: str) -> bytes:
        """The file's bytes; FileNotFoundError where it is not there, StoreError where it is larger than such files
        are."""
        place, most = self._place(name), LARGEST_OF.get(name.split("/", maxsplit=1)[0], LARGEST)
        data = self._with_retries(_read if self.local else self._fetch, place, most)
        if len(data) > most:
            raise StoreError(_too_large(f"{self.url}/{name}", most))
        return data

    def _fetch(self, place: str, most: int) -> Any:
        """At most one byte more than ``most``: in one request, and not by a size that was listed before."""
        try:
            return self.files.cat_file(place, start=0, end=most + 1)
        except OSError as error:
            if status(error) == 416:  # of an empty object no range can be had
                return b""
            raise

    def read_each(self, folder: str, names: Iterable[str]) -> Iterator[bytes | None]:
        """The bytes of many files of one folder of a local store.

        Args:
            folder: Where they are.
            names: Theirs in the folder.

        Returns:
            One after the other; None where a file is not simply there: :meth:`read` reads it, or says why not.
        """
        try:
            number = os.open(f"{self.root}/{folder}", _OPEN | os.O_DIRECTORY)
        except OSError:
            yield from (None for _ in names)
            return
        try:
            yield from _read_ahead(number, names)
        finally:
            os.close(number)

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""
        place = self._place(name)
        return os.path.lexists(place) if self.local else self._with_retries(self._is_there, place)

    def _is_there(self, place: str) -> bool:
        try:  # fsspec's own exists() says no to every error
            self.files.info(place)
        except FileNotFoundError:
            return False
        return True

    def remove(self, name: str) -> None:
        """Remove the file; nothing where there is none."""
        with suppress(FileNotFoundError):
            self._with_retries(os.unlink if self.local else self.files.rm_file, self._place(name))

    def move(self, name: str, to: str) -> None:
        """Another name for a file, whatever is in it; it is not read."""
        start, goal = self._place(name), self._place(to)
        if self.local:
            Path(goal).parent.mkdir(parents=True, exist_ok=True)
            self._with_retries(os.replace, start, goal)
        else:
            self._with_retries(self.files.cp_file, start, goal)
            self._with_retries(self.files.rm_file, start)

    def names(self, folder: str, suffix: str = "") -> set[str]:
        """The names in a folder, without the suffix."""
        listed = self.listed(folder)
        return {name.removesuffix(suffix) for name in listed if name.endswith(suffix) and not name.startswith(".")}

    def listed(self, folder: str) -> list[str]:
        """All that is in a folder, as the place lists it; nothing where there is none."""
        try:
            return self._with_retries(
                os.listdir if self.local else self._remote_names, self._place(f"{folder}/any", folder)
            )
        except FileNotFoundError:
            return []

    def stamped(self, folder: str, suffix: str, length: int) -> tuple[list[str], np.ndarray, np.ndarray]:
        """The files of a folder that may have changed.

        Args:
            folder: Where they are.
            suffix: How their names end.
            length: Of the names without it; no others are of interest.

        Returns:
            The names without the suffix; (n, 2) what changes when each file does; (n,) whether the place tells it.
        """
        try:
            return self._with_retries(
                _stamped if self.local else self._reported, self._place(f"{folder}/any", folder), suffix, length
            )
        except FileNotFoundError:
            return [], np.zeros((0, 2), np.int64), np.zeros(0, bool)

    def _reported(self, place: str, suffix: str, length: int) -> tuple[list[str], np.ndarray, np.ndarray]:
        found = self.files.ls(place, detail=True, refresh=True)
        self.files.invalidate_cache()
        names = {str(about["name"]).rsplit("/", 1)[-1]: about for about in found}
        stamps = {
            name.removesuffix(suffix): _stamp(about)
            for name, about in names.items()
            if name.endswith(suffix) and len(name) == length + len(suffix)
        }
        marks = np.array([stamp or (0, 0) for stamp in stamps.values()], np.int64).reshape(-1, 2)
        return list(stamps), marks, np.array([stamp is not None for stamp in stamps.values()], bool)

    def _remote_names(self, place: str) -> list[str]:
        found = self.files.ls(place, detail=False, refresh=True)
        self.files.invalidate_cache()  # or what others write from now on would be said not to be there
        return [str(path).rsplit("/", 1)[-1] for path in found]

    def clear_parts(self, folder: str = "", seconds: float = STALE_PART_SECONDS) -> None:
        """Remove what killed processes had begun to write. A bucket keeps nothing so.

        Args:
            folder: Where; everywhere if not given.
            seconds: How long ago they wrote to it last; a living process may still be at what is younger.
        """
        root = Path(self.root)
        parts = root.glob(f"{folder}/.*.part") if folder else (*root.glob(".*.part"), *root.glob("*/.*.part"))
        for part in parts if self.local else ():
            with suppress(OSError):  # it is renamed just now, or it is another's
                if not part.parent.is_symlink() and time.time() - part.lstat().st_mtime >= seconds:
                    part.unlink()

    def path(self, name: str) -> Path:
        """Where a file of a local store is, for those that open it themselves. StoreError where it is a link."""
        place = self._place(name)
        if Path(place).is_symlink():
            raise StoreError(f"{place} is a link, which may lead out of the store")
        return Path(place)

    def _place(self, name: str, shown: str = "") -> str:
        parts = name.split("/")
        if not _NOWHERE.isdisjoint(parts) or "\0" in name or "\\" in name:
            raise StoreError(f"{name!r} is no name of a file in a store")
        for depth in range(1, len(parts) if self.local else 0):
            folder = "/".join([self.root, *parts[:depth]])
            if os.path.islink(folder):  # noqa: PTH114  (a Path costs as much as the reading)
                raise StoreError(f"{folder} is a link, which may lead out of the store")
        return f"{self.root}/{shown or name}"

    def _with_retries(self, action: Any, *args: Any) -> Any:
        return with_retries(self.url, action, *args)


def _stamped(place: str, suffix: str, length: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    names, marks = stamped(place, suffix, length)
    return names, np.array(marks).reshape(-1, 2), np.ones(len(names), bool)


def _stamp(about: Mapping[str, Any]) -> Stamp | None:
    """Of an object: its hash, or when it was written, whatever the file system calls that."""
    tag = next((about[word] for word in ("ETag", "etag", "LastModified", "updated", "mtime") if about.get(word)), None)
    size = about.get("size")
    if tag is None or not isinstance(size, int):
        return None
    return size, int.from_bytes(hashlib.blake2b(str(tag).encode(), digest_size=7).digest())


def _too_large(name: str, most: int) -> str:
    return f"{name} is damaged: it is larger than {most / MIB:g} MiB"


def _write(path: str, data: bytes) -> None:
    goal = Path(path)
    _make_folder(goal.parent)
    part = goal.with_name(f".{uuid.uuid4().hex}.part")  # not tempfile's: nobody else may read those
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(goal)
        sync_folder(goal.parent)  # or the name is lost with the machine's power
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and not error.filename:
            error.filename = path  # "no space left" is told with where
        raise


def _make_folder(folder: Path) -> None:
    """Make a folder and those that it lies in, each to outlast a loss of power."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        with suppress(FileExistsError):
            folder.mkdir()
            sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder written to the disk, where its file system can do that."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(number)


def _read(path: str, most: int) -> bytes:
    """At most ``most`` bytes; a link is not followed, and a pipe is not waited for."""
    try:
        number = os.open(path, _OPEN)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO):
            raise StoreError(f"{path} is damaged: it is no file but a link or a socket") from error
        raise
    try:
        about = os.fstat(number)
        if stat.S_ISDIR(about.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(about.st_mode):
            raise StoreError(f"{path} is damaged: it is no file but a pipe or a device")
        if about.st_size > most:  # before any memory is asked for
            raise StoreError(_too_large(path, most))
        return _all(number, about.st_size + 1)
    finally:
        os.close(number)


def _read_ahead(folder: int, names: Iterable[str]) -> Iterator[bytes | None]:
    """As :meth:`Files.read_each`, of a folder that is open: of many files the disk can do several at one time."""
    ahead: deque[int | None] = deque()
    try:
        for name in names:
            ahead.append(_asked_for(folder, name))
            if len(ahead) > AHEAD:
                yield _simply(ahead.popleft())
        while ahead:
            yield _simply(ahead.popleft())
    finally:
        for number in ahead:
            if number is not None:
                os.close(number)


def _asked_for(folder: int, name: str) -> int | None:
    """The number of an open file, which the disk has begun to read; None where it cannot be opened so."""
    try:
        number = os.open(name, _OPEN, dir_fd=folder) if "/" not in name else None
    except (OSError, ValueError):
        return None
    if number is not None and hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # no file but a pipe
            os.posix_fadvise(number, 0, SMALL, os.POSIX_FADV_WILLNEED)
    return number


def _simply(number: int | None) -> bytes | None:
    """What is in an open file, which is closed then; None where it is none, too large, or is written to just now."""
    if number is None:
        return None
    try:
        about = os.fstat(number)
        if not stat.S_ISREG(about.st_mode) or about.st_size > LARGEST:
            return None
        data = os.read(number, about.st_size + 1)
        return data if len(data) == about.st_size else None
    except OSError:
        return None
    finally:
        os.close(number)


def _all(number: int, most: int) -> bytes:
    """One call, but for a file that is larger than one call returns."""
    data = os.read(number, most)
    while len(data) < most - 1 and (more := os.read(number, most - len(data))):
        data += more
    return data
