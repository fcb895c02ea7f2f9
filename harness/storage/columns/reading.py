"""The records of many trials, read to columns: in a process for each core where they are worth it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ..packed_keys import SIZE, texts
from ..reader import StoreReader
from ..record import TrialResult
from ..serialization import pack_arrays, unpack_arrays
from ..store import Store
from .results import TrialResults, as_arrays, joined, of_arrays, results_of, text_array

PIECE = 50_000  # records whose columns are lists at one time
SHARED = 20_000  # records of a folder that are worth several processes
SHARE = 5_000  # records that are worth one of them: it takes a second to start
Read = tuple[TrialResults, list[str]]


def read_records(store: StoreReader, keys: np.ndarray) -> Read:
    """The outcomes of trials.

    Args:
        store: Where their records are.
        keys: Theirs, packed.

    Returns:
        The outcomes, and a message for each record that is damaged.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(store, Store) and store.direct and len(keys) >= SHARED and cores > 1:
        return _read_apart(store, keys, cores)
    return _read_here(store, keys)


def _read_here(store: StoreReader, keys: np.ndarray) -> Read:
    damaged: list[str] = []
    pieces = (texts(keys[start : start + PIECE]) for start in range(0, len(keys), PIECE))
    parts = [results_of(_whole(store, piece, damaged)) for piece in pieces]
    return joined(parts), damaged


def _whole(store: StoreReader, keys: Sequence[str], damaged: list[str]) -> Iterator[TrialResult]:
    for result in store.results(keys):
        if isinstance(result, str):
            damaged.append(result)
        else:
            yield result


def _read_apart(store: Store, keys: np.ndarray, cores: int) -> Read:
    """The same in several processes, one for each core at most; what one cannot tell, or cannot be started for, is read
    here."""
    most = max(-(-len(keys) // cores), SHARE)
    shares = [keys[start : start + most] for start in range(0, len(keys), most)]
    command = [sys.executable, "-P", "-m", __name__, store.url]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    processes: list[Any] = []
    try:
        with suppress(OSError):  # no more of them can be had
            for share in shares:
                processes.append(subprocess.Popen(command, **pipes))  # noqa: S603
                with suppress(OSError), processes[-1].stdin as told:
                    told.write(share.tobytes())
        found = [_answer_of(each) or _read_here(store, share) for each, share in zip(processes, shares, strict=False)]
        found += [_read_here(store, share) for share in shares[len(processes) :]]
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()
    return joined([results for results, _ in found]), [message for _, damaged in found for message in damaged]


def _answer_of(process: Any) -> Read | None:
    """What a process read; nothing where it failed, or its answer is more than may be read."""
    answer = process.stdout.read()
    if process.wait():
        return None
    try:
        arrays = unpack_arrays(answer)
        return of_arrays(arrays), json.loads(arrays["damaged"].tobytes())
    except (ValueError, KeyError, zipfile.BadZipFile):
        return None


def _answer() -> None:
    """Be one of the processes: the store is named, and the keys come, one behind the other."""
    keys = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(-1, SIZE)
    results, damaged = _read_here(Store(sys.argv[1]), keys)
    sys.stdout.buffer.write(pack_arrays(as_arrays(results) | {"damaged": text_array(damaged)}, compressed=False))


if __name__ == "__main__":
    _answer()
