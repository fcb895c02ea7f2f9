"""Data sets decoded once a machine, as arrays that every process maps: training images and labels, test images, test
labels, each a file of its own, so that a process can map the one and never see the other.

An entry holds while the files that it was read from, and the folders that they lie in, have the sizes and times that
they had then. Where they are not known (a reader that opens files outside Python), or the cache cannot be written, the
arrays lie in a folder of this process alone, which is gone when it ends.
"""

from __future__ import annotations

import atexit
import hashlib
import inspect
import json
import os
import shutil
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from .catalog import Dataset
from .contract import check
from .decoded_files import DECODE_SECONDS, is_being_decoded, save
from .files import cache, checksum, folders_for
from .lock import import_readers, loading, note_labels
from .split import Images, Pool, Split, cut

VERSION = 4  # raised when what is kept, or how, changes
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
ABOUT = "about.json"
Stamp = list[int] | None  # size and time of a file or folder; None where there is none


@dataclass(frozen=True)
class CachedPool:
    """A pool whose arrays are mapped read-only from files in ``folder``; ``sources`` are what they were read from."""

    folder: Path
    pool: Pool
    sources: tuple[str, ...]
    stamps: dict[str, Stamp]  # of each of ``ARRAYS``
    _splits: dict[tuple, Split] = field(default_factory=dict, compare=False, repr=False)

    def split(self, counts: Sequence[int], seed: int, val_per_class: int, natural: bool = False) -> Split:
        """The split of a seed (see :func:`datasets.split.cut`), kept: the trials of a seed share its fingerprint, which
        reads every image.

        Args:
            counts: The training images of each class, in label order.
            seed: Of the draw.
            val_per_class: Images of each class to validate on, set aside first.
            natural: Whether these follow the long tail (see :func:`datasets.split.natural_validation`).
        """
        asked = tuple(counts), seed, val_per_class, natural
        if asked not in self._splits:
            self._splits[asked] = cut(self.pool, counts, seed, val_per_class, natural)
        return self._splits[asked]

    def file(self, array: str) -> Path:
        """Where one of ``ARRAYS`` lies."""
        return self.folder / f"{array}.npy"

    @property
    def guarded(self) -> list[str]:
        """The files that a method may not open: the sources, and what is kept of labels and test images."""
        return [*self.sources, *(str(self.file(array)) for array in ARRAYS[1:])]


def open_cached(dataset: Dataset, root: Path | None, verify: bool) -> CachedPool:
    """The data set's pool, decoded now where it was not before.

    Raises what ``dataset.load`` raises; OSError where the arrays can be kept nowhere.

    Args:
        dataset: Which.
        root: The folder to look in first; None for the usual ones.
        verify: Whether only files with the official checksums will do.
    """
    note_labels()
    goal = cache() / "arrays" / _key(dataset, root)
    cached = _read(goal, dataset, root)
    if cached is not None and (cached.pool.verified or not verify):
        return cached
    with _only_one(goal):
        cached = _read(goal, dataset, root)
        if cached is None or (verify and not cached.pool.verified):
            cached = _decode(goal, dataset, root, verify)
        return cached


def is_decoded(dataset: Dataset, root: Path | None, verify: bool) -> bool:
    """Whether the data set was decoded before, and nothing has changed since: :func:`open_cached` then has nothing to
    say against it. No array is opened, so that no label comes into this process.

    Args:
        dataset, root, verify: As of :func:`open_cached`.
    """
    folder = cache() / "arrays" / _key(dataset, root)
    try:
        about = _fresh(folder, dataset, root)
        if about is None or (verify and not about["verified"]):
            return False
        return all(stamp(folder / f"{name}.npy") == about["arrays"][name]["stamp"] for name in ARRAYS)
    except (OSError, KeyError, ValueError, TypeError, AttributeError):
        return False


def _key(dataset: Dataset, root: Path | None) -> str:
    """The same for what is read by the same code from the same places."""
    code = inspect.getsourcefile(inspect.unwrap(dataset.load)) if inspect.isfunction(dataset.load) else None
    words = [VERSION, dataset.name, dataset.classes, dataset.available, dataset.shape, stamp(code) if code else None]
    words += [dataset.contents, dataset.groups] if dataset.contents else map(str, folders_for(dataset.name, root))
    return f"{dataset.name.replace(':', '-')}-{hashlib.sha256(json.dumps(words).encode()).hexdigest()[:20]}"


@contextmanager
def _only_one(goal: Path) -> Iterator[None]:
    """A lock, so that a machine decodes a data set once; none where the cache cannot be written, or has no locks."""
    with ExitStack() as stack:
        with suppress(OSError, NotImplementedError):  # a lock that is not had in time is an OSError too
            goal.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(goal.with_suffix(".lock"), timeout=DECODE_SECONDS))
        yield


def _decode(goal: Path, dataset: Dataset, root: Path | None, verify: bool) -> CachedPool:
    begun = time.time_ns()
    if dataset.columns:
        import_readers()
    with loading() as opened:
        pool = dataset.load(root, verify)
    check(dataset, pool)
    opened = {path for path in opened if not is_being_decoded(path)}
    about = {
        "verified": pool.verified,
        "hashes": dict(pool.hashes),
        "sources": {path: stamp(path) for path in sorted({*opened, *map(os.path.dirname, opened)})},
        "searched": _searched(dataset, root),
        "groups": None if pool.groups is None else pool.groups.tolist(),
    }
    changing = any(at is None or at[1] >= begun for path, at in about["sources"].items() if path in opened)
    if opened and not changing:  # a file that is still being written has its last time beside its first bytes
        try:
            _write(goal, pool, about)
        except OSError as error:
            warnings.warn(f"the decoded images could not be kept in {goal.parent}: {error}", stacklevel=2)
        else:
            return _opened(goal, about)
    folder = Path(tempfile.mkdtemp(prefix=f"tb-{os.getpid()}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _write(folder / "arrays", pool, about)
    return _opened(folder / "arrays", about)


def _write(goal: Path, pool: Pool, about: dict[str, Any]) -> None:
    """Under a name of our own, then renamed: what other processes have mapped of an older one stays theirs. Arrays that
    are there already, to the bit, stay where they are: whoever has them mapped goes on."""
    part = goal.with_name(f".{goal.name}-{uuid.uuid4().hex}")
    old = part.with_suffix(".old")
    part.mkdir(parents=True)
    try:
        arrays = (pool.train.x, pool.train.y.astype(np.int64), pool.test.x, pool.test.y.astype(np.int64))
        kept = {}
        for name, array in zip(ARRAYS, arrays, strict=True):
            path = part / f"{name}.npy"
            save(array, path)
            path.chmod(0o444)
            kept[name] = {"stamp": stamp(path), "sha256": checksum(path, "sha256")}
        there = _kept(goal)
        same = all(there[name]["sha256"] == kept[name]["sha256"] for name in ARRAYS) if there else False
        (part / ABOUT).write_text(json.dumps(about | {"arrays": there if same else kept}), encoding="utf-8")
        if same:
            (part / ABOUT).replace(goal / ABOUT)
            return
        with suppress(FileNotFoundError):
            goal.rename(old)
        part.rename(goal)
    finally:
        for left in (part, old):
            shutil.rmtree(left, ignore_errors=True)


def _read(folder: Path, dataset: Dataset, root: Path | None) -> CachedPool | None:
    """What was kept, where it is whole and nothing that it was read from has changed."""
    try:
        about = _fresh(folder, dataset, root)
        whole = about and all(_is_whole(folder / f"{name}.npy", about["arrays"][name]) for name in ARRAYS)
        return _opened(folder, about) if about and whole else None
    except (OSError, EOFError, KeyError, ValueError, TypeError, AttributeError):
        return None


def _fresh(folder: Path, dataset: Dataset, root: Path | None) -> dict[str, Any] | None:
    """What an entry says, where nothing that it was read from has changed."""
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    same = all(stamp(path) == kept for path, kept in about["sources"].items())
    return about if same and about["searched"] == _searched(dataset, root) else None


def _kept(folder: Path) -> dict[str, Any]:
    """What an entry says of its arrays, which are whole; nothing where they are not, or where there is no entry."""
    try:
        arrays = json.loads((folder / ABOUT).read_text(encoding="utf-8"))["arrays"]
        whole = all(_is_whole(folder / f"{name}.npy", arrays[name]) for name in ARRAYS)
    except (OSError, KeyError, ValueError, TypeError):
        return {}
    return arrays if whole else {}


def _is_whole(path: Path, kept: dict[str, Any]) -> bool:
    return stamp(path) == kept["stamp"] or checksum(path, "sha256") == kept["sha256"]


def _opened(folder: Path, about: dict[str, Any]) -> CachedPool:
    """ValueError or OSError where the arrays are not those of a pool."""
    train_x, train_y, test_x, test_y = (
        np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS
    )
    groups = None if about["groups"] is None else np.array(about["groups"], np.int64)
    train, test = Images(train_x, train_y), Images(test_x, test_y)
    pool = Pool(train, test, bool(about["verified"]), dict(about["hashes"]), groups)
    sources = tuple(path for path in about["sources"] if not Path(path).is_dir())
    return CachedPool(folder, pool, sources, {name: stamp(folder / f"{name}.npy") for name in ARRAYS})


def _searched(dataset: Dataset, root: Path | None) -> dict[str, Stamp]:
    """The folders in which the data set is looked for: there may be other files in one by now."""
    return {} if dataset.contents else {str(place): stamp(place) for place in folders_for(dataset.name, root)}


def stamp(path: Path | str) -> Stamp:
    """What changes when a file does: its size and time; None where there is none."""
    try:
        about = os.stat(path)  # noqa: PTH116  (there may be ten thousands)
    except OSError:
        return None
    return [about.st_size, about.st_mtime_ns]
