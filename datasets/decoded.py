"""Decoded images, kept beside the data cache so that the next trial need not decode them again."""

from __future__ import annotations

import hashlib
import json
import uuid
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .sources import cache
from .split import Images, Pool

VERSION = 1  # raised when what is decoded, or how it is stored, changes


def kept(source: object, decode: Callable[[], Pool]) -> Pool:
    """``decode()``, or what it returned for the same ``source`` before.

    ``source`` is anything JSON can write that changes with the files: paths, sizes, times. A kept pool is never
    ``verified``: that is for the caller to say again, from its ``hashes``.
    """
    digest = hashlib.sha256(json.dumps([VERSION, source]).encode()).hexdigest()
    path = cache() / "decoded" / f"{digest}.npz"
    pool = _load(path)
    if pool is None:
        pool = decode()
        try:
            _save(path, pool)
        except OSError as error:
            warnings.warn(f"the decoded images could not be kept in {path.parent}: {error}", stacklevel=2)
    return pool


def _load(path: Path) -> Pool | None:
    """The pool in ``path``, or None where there is none or it does not read back whole."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            train = Images(arrays["train_x"], arrays["train_y"])
            test = Images(arrays["test_x"], arrays["test_y"])
            return Pool(train, test, verified=False, hashes=json.loads(str(arrays["hashes"])))
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None


def _save(path: Path, pool: Pool) -> None:
    """Write under a name of our own, then rename: two processes may race, and the last whole file stands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{uuid.uuid4().hex}")
    try:
        with partial.open("wb") as file:
            np.savez(
                file,
                train_x=pool.train.x,
                train_y=pool.train.y,
                test_x=pool.test.x,
                test_y=pool.test.y,
                hashes=np.array(json.dumps(dict(pool.hashes))),
            )
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
