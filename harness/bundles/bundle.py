"""A bundle: what was published of a store, in one file that a stranger can check. It is read in place, never unpacked.

manifest.json           the trials of each plan, the environments, the code, and the SHA-256 of every other file
plans/NAME.json         the spec, with the text of its plugins; not where its MLflow is
searches/NAME.json      what was searched of each row of a plan that is tuned
studies/NAME.json       every configuration that was tried, and what came of it
records/KEY.json        a finished trial with its values and environment, without the traceback of one that failed
rungs/KEY-EPOCHS.json   what a tuning trial had come to on its way
arrays/KEY.npz          its logits, labels and history
plugins/SHA256.py       the text of each plugin, to be read
report/leaderboard.csv  the table that is claimed

Nothing in it is compressed but the arrays, so that the same store gives the same bytes wherever it is exported, and
what is in a bundle is never larger than the bundle.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import numpy as np
from pydantic import ValidationError

from ..errors import BundleError, NoBundle, first_fault
from ..spec.parser import MOST_SEEDS
from ..spec.schema import Spec, axes
from ..storage import paths
from ..storage.files import LARGEST, LARGEST_OF, MIB
from ..storage.reader import M, StoreReader
from ..storage.serialization import LARGEST_UNPACKED, unpack_arrays
from .manifest import Manifest
from .zip_layout import layout_error

MOST_DIRECTORY = 32 * MIB  # of the zip's table of contents: 200,000 trials
MOST_MANIFEST = 128 * MIB  # as many
MOST_RATIO, LEEWAY = 100, 256 * MIB  # all arrays may unpack to so many times the bundle's size, and so much more
LAX = 4  # a plan may name a trial more than once
_NAME, _KEY = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", r"[0-9a-f]{20}"
_FILES = {  # what a bundle may hold beside its manifest and its table: how the files of each folder are called
    paths.PLANS: _NAME, paths.SEARCHES: _NAME, paths.CONFIGURATIONS: _NAME,
    paths.RECORDS: _KEY, paths.RUNGS: rf"{_KEY}-[0-9]{{4,9}}", paths.ARRAYS: _KEY, paths.PLUGINS: r"[0-9a-f]{64}",
}  # fmt: skip
_FILE = re.compile(
    "|".join(
        [re.escape(paths.MANIFEST), re.escape(paths.TABLE)]
        + [rf"{folder}/{stem}{re.escape(ending)}" for (folder, ending), stem in _FILES.items()]
    )
)


class _CheckedReader(io.FileIO):
    """zipfile reads the table of contents in one piece, and makes ten times as much of it."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MOST_DIRECTORY:
            raise zipfile.BadZipFile("its table of contents is larger than that of any bundle")
        return super().read(-1 if size is None else size) or b""


class Bundle(StoreReader):
    """A bundle, read like a store. NoBundle where the file is none; BundleError where it names what has
    no place in one.

    ``recomputed`` holds accuracies by key that stand in for those that the records claim.
    """

    def __init__(self, path: Path) -> None:
        self.url = str(path.expanduser().resolve())
        self.recomputed: dict[str, Mapping[str, tuple[float, ...]]] = {}
        try:
            self._file = _CheckedReader(self.url)
        except FileNotFoundError:
            raise NoBundle(f"there is no file {path}") from None
        except IsADirectoryError:
            raise NoBundle(_instead(path)) from None
        try:
            self.size = os.fstat(self._file.fileno()).st_size
            self._entries = self._checked()
        except BaseException:
            self._file.close()
            raise
        self._folders: dict[str, set[str]] = defaultdict(set)
        for name in self._entries:
            folder, _, rest = name.rpartition("/")
            self._folders[folder].add(rest)
        self._left = MOST_RATIO * self.size + LEEWAY

    def __str__(self) -> str:
        return self.url

    def close(self) -> None:
        """Close the file; the bundle is read no more."""
        self._file.close()

    @property
    def file(self) -> Path:
        """The bundle itself."""
        return Path(self.url)

    @property
    def digest(self) -> str:
        """The SHA-256 of the file, by which a bundle is cited."""
        with Path(self.url).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def summary(self) -> str:
        """How much is in it and its SHA-256, in words."""
        return f"{len(self._entries)} files, {len(self.finished())} records, SHA-256 {self.digest}"

    def _checked(self) -> dict[str, zipfile.ZipInfo]:
        """The entries by name; only what an export writes."""
        try:
            self._archive = zipfile.ZipFile(self._file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OverflowError) as error:
            raise NoBundle(f"{self.url} is no bundle: {error}") from error
        if paths.MANIFEST not in self._archive.NameToInfo:
            raise NoBundle(f"{self.url} is no bundle: it has no {paths.MANIFEST}")
        entries: dict[str, zipfile.ZipInfo] = {}
        for entry in self._archive.infolist():
            name = entry.orig_filename
            if why := _entry_error(entry):
                self._refuse(f"{name!r} {why}")
            if name in entries:
                self._refuse(f"{name!r} is in it twice")
            entries[name] = entry
        if sum(entry.file_size for entry in entries.values()) > self.size:
            self._refuse("its files claim to be larger than it is")
        if why := layout_error(self._file, self.size, self._archive):
            self._refuse(why)
        return entries

    def _refuse(self, why: str) -> NoReturn:
        raise BundleError(f"{self.url} is refused: {why}")

    def files_inside(self) -> Iterator[str]:
        """The paths of all its files, sorted."""
        yield from sorted(self._entries)

    def manifest(self) -> Manifest:
        """Its manifest. BundleError where that is damaged."""
        try:
            return Manifest.model_validate_json(self.read(paths.MANIFEST))
        except ValidationError as error:
            raise BundleError(f"{self.url}/{paths.MANIFEST} is damaged: {first_fault(error)}") from error

    def plans(self) -> list[Spec]:
        """As of a store. BundleError where one stands for more trials than the manifest lists: a few words may stand
        for more than any memory holds."""
        listed = self.manifest().plans
        specs = super().plans()
        for spec in specs:
            trials, most = axes(spec), LAX * (len(listed.get(spec.name, ())) + 1)
            if trials > most or (spec.tune and spec.tune.seeds > MOST_SEEDS):
                self._refuse(f"{paths.plan(spec.name)} stands for more trials than {paths.MANIFEST} lists")
        return specs

    # As a store

    def read(self, name: str) -> bytes:
        """As in :class:`ReadablePlace`.

        Raises:
            FileNotFoundError: where there is no such file.
            BundleError: where the file is damaged, or larger than its kind may be.
        """
        if name not in self._entries:
            raise FileNotFoundError(errno.ENOENT, "there is no such file", f"{self.url}/{name}")
        entry, most = self._entries[name], LARGEST_OF.get(name.split("/", maxsplit=1)[0], LARGEST)
        most = MOST_MANIFEST if name == paths.MANIFEST else most
        if entry.file_size > most:
            raise BundleError(f"{self.url}/{name} is damaged: it is larger than {most / MIB:g} MiB")
        parts = []
        try:
            with self._archive.open(entry) as file:
                while part := file.read(MIB):
                    parts.append(part)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
            raise BundleError(f"{self.url}/{name} is damaged: {error}") from error
        return b"".join(parts)

    def has(self, name: str) -> bool:
        return name in self._entries

    def names(self, folder: str, suffix: str = "") -> set[str]:
        found = self._folders.get(folder, set())
        return {name.removesuffix(suffix) for name in found if name.endswith(suffix)}

    def _arrays_of(self, data: bytes, prefix: str) -> dict[str, np.ndarray]:
        """As of a store; all that is unpacked of a bundle must stay within what so large a bundle may hold."""
        unpacked = unpack_arrays(data, prefix, min(LARGEST_UNPACKED, self._left))
        self._left -= sum(array.nbytes for array in unpacked.values())
        return unpacked

    def _parsed(self, name: str, key: str, model: type[M]) -> M:
        record = super()._parsed(name, key, model)
        if key in self.recomputed and paths.is_in(name, paths.RECORDS):
            return record.model_copy(update={"accuracy": dict(self.recomputed[key])})
        return record


def _instead(folder: Path) -> str:
    if (folder.expanduser() / paths.PLANS[0]).is_dir():
        return f"{folder} is a store: tailboard export {folder} -o mine.zip makes a bundle of it"
    return f"{folder} is a folder, and a bundle is a file"


def _entry_error(entry: zipfile.ZipInfo) -> str:
    """Why an entry has no place in a bundle; nothing where it has."""
    name, mode = entry.orig_filename, entry.external_attr >> 16
    faults = {
        "is an absolute path": name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name),
        "climbs out of the bundle": ".." in re.split(r"[/\\]", name),
        "is a link": stat.S_ISLNK(mode),
        "is no plain file": stat.S_IFMT(mode) not in (0, stat.S_IFREG),
        "may be executed, or run as another user": mode & 0o7111,
        "is no file of a bundle": not _FILE.fullmatch(name),
        "is encrypted": entry.flag_bits & 1,
        "lies before the file begins": entry.header_offset < 0,
        "is compressed: an export compresses nothing but what is in the arrays": (
            entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size
        ),
    }
    return next((why for why, holds in faults.items() if holds), "")
