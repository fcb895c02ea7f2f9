"""One driver to a store: a second would train the same trials beside the first.

On a local file system the kernel lets go of a dead process's lock at once. Elsewhere a driver holds a lease: a file of
the next number, which only one process can create, and which its holder renews. Who finds that it is not renewed for a
while, by the time that it waits itself and not by the clock of another machine, may create the next number; the holder
of the one before stops as soon as it sees that, and writes nothing back. A driver that is seen to have died on this
machine is not waited for. Leases are numbered without a gap and never removed.
"""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import StoreError
from . import paths
from .store import Store

FILE = paths.DRIVER  # of a local store
RENEW_SECONDS, ABANDONED_SECONDS, LOOK_SECONDS = 20.0, 90.0, 5.0


@contextmanager
def only_driver(store: Store) -> Iterator[None]:
    """Inside, this process is the store's driver. StoreError where another one is, or the store cannot be written."""
    with _local(store) if store.local else _remote(store):
        yield


@contextmanager
def _local(store: Store) -> Iterator[None]:
    path = Path(store.root, ".lock")
    lock = FileLock(path, timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise StoreError(_refusal(store)) from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise StoreError(
            f"{store} cannot be written ({why}), as a run must: name another place with --store"
        ) from error
    try:
        store.write(FILE, _about())
        yield
    finally:
        store.remove(FILE)
        if not store.exists():  # a mistake was found before anything was planned: leave no empty folder behind
            with suppress(OSError):
                path.unlink()
                path.parent.rmdir()
        lock.release()


@contextmanager
def _remote(store: Store) -> Iterator[None]:
    number = _latest(store)
    if _is_held(store, number):
        raise StoreError(_refusal(store))
    lease = _Lease(store, number + 1)
    try:
        yield
    except KeyboardInterrupt:
        if not lease.lost.is_set():
            raise
    finally:
        lease.end()
    if lease.lost.is_set():
        raise StoreError(f"this run was out of touch for too long, and stopped: {_refusal(store)}")


def is_driven(store: Store) -> bool:
    """Whether a living process is the store's driver."""
    if not store.local or not store.has(FILE):
        return _alive(_other(store))
    try:
        with FileLock(Path(store.root, ".lock"), timeout=0):
            return False
    except Timeout:
        return True
    except PermissionError:  # who may only read cannot try the lock
        return _alive(_other(store))


def driver(store: Store) -> tuple[str, int]:
    """The host and the process id that the store's driver gives of itself; empty and 0 where there is none."""
    other = _other(store)
    return str(other.get("host", "")), other["pid"] if isinstance(other.get("pid"), int) else 0


def overtaken(store: Store) -> bool:
    """Whether another driver has the store now, since this process was out of touch: it must write nothing back."""
    return store.lease > 0 and _is_followed(store, store.lease)


def _is_followed(store: Store, number: int) -> bool:
    return store.has(paths.lease(number + 1))


class _Lease:
    """A lease, and the thread that renews it. StoreError where another process was quicker.

    Where there is a later one, this process was out of touch for so long that it was taken for dead: it is interrupted,
    as by Ctrl-C, and what it finished is there for the other.
    """

    def __init__(self, store: Store, number: int) -> None:
        self._store, self._number, self._id, self._renewed = store, number, uuid.uuid4().hex, 0
        self.lost, self._ended = threading.Event(), threading.Event()
        try:
            store.create(paths.lease(number), self._text())
        except FileExistsError:
            if _read(store, number).get("id") != self._id:  # else an answer was lost, and it was asked again
                raise StoreError(_refusal(store)) from None
        store.lease = number
        self._thread = threading.Thread(target=self._work, name="lease", daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
        with suppress(OSError):  # then it counts as abandoned after a while
            self._store.write(paths.lease(self._number), self._text(ended=True))

    def _text(self, ended: bool = False) -> bytes:
        return _about(id=self._id, renewed=self._renewed, ended=ended)

    def _work(self) -> None:
        while not self._ended.wait(RENEW_SECONDS):
            with suppress(OSError):  # a store that answers with errors for a while: the trials find out themselves
                if _is_followed(self._store, self._number):
                    self.lost.set()
                    os.kill(os.getpid(), signal.SIGINT)
                    return
                self._renewed += 1
                self._store.write(paths.lease(self._number), self._text())


def _latest(store: Store) -> int:
    """The number of the last lease, 0 where there was none; in few requests, however many there were."""
    low, high = 0, 1
    while store.has(paths.lease(high)):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if store.has(paths.lease(middle)) else (low, middle)
    return low


def _is_held(store: Store, number: int) -> bool:
    """Whether the holder of a lease lives. Where its clock does not say so, it is seen by whether it renews it."""
    about = _read(store, number)
    if _alive(about) or not about or about.get("ended") or _is_dead(about):
        return _alive(about)
    who = f"process {about.get('pid')} on {about.get('host')}"
    logging.getLogger(__name__).warning(
        "%s: it takes %.0f s to see that %s fills it no more", store, ABANDONED_SECONDS, who
    )
    for _ in range(math.ceil(ABANDONED_SECONDS / LOOK_SECONDS)):
        time.sleep(LOOK_SECONDS)
        if (now := _read(store, number)) != about:
            return not now.get("ended")
    return False


def _about(**words: Any) -> bytes:
    about = {"host": socket.gethostname(), "pid": os.getpid(), "at": time.time(), "process": _process(os.getpid())}
    return json.dumps(about | words).encode()


def _process(pid: int) -> list[str]:
    """What tells a process from all others, on whatever machine, container or day; empty where /proc does not say, or
    it is dead."""
    try:
        machine = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        state, *numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return [] if state == "Z" else [machine, str(Path("/proc/self/ns/pid").readlink()), str(pid), numbers[18]]
    except OSError:
        return []


def _other(store: Store) -> dict[str, Any]:
    """What the store's last driver says of itself; nothing where it left no word, or none that can be read."""
    return _parsed(store, FILE) if store.local else _read(store, _latest(store))


def _read(store: Store, number: int) -> dict[str, Any]:
    return _parsed(store, paths.lease(number)) if number else {}


def _parsed(store: Store, name: str) -> dict[str, Any]:
    try:
        lease = json.loads(store.read(name))
    except (FileNotFoundError, ValueError, RecursionError, StoreError):
        return {}
    return lease if isinstance(lease, dict) else {}


def _alive(about: dict[str, Any]) -> bool:
    """Whether it has written lately, as far as clocks agree, and is not known to have ended or died."""
    at = about.get("at", 0)
    lately = isinstance(at, (int, float)) and abs(time.time() - at) < ABANDONED_SECONDS
    return lately and not about.get("ended") and not _is_dead(about)


def _is_dead(about: dict[str, Any]) -> bool:
    """Whether it is known to be dead: of a process of this machine that could be seen."""
    mine, process = _process(os.getpid()), about.get("process")
    here = bool(mine) and isinstance(process, list) and len(process) == len(mine) and process[:2] == mine[:2]
    return here and isinstance(about.get("pid"), int) and _process(about["pid"]) != process


def _refusal(store: Store) -> str:
    other = _other(store)
    free = f"; a driver that died on another machine holds it for {ABANDONED_SECONDS:.0f} s" * (not store.local)
    who = f"process {other.get('pid')} on {other.get('host')}" if other else "another process"
    return (
        f"{store} is being filled by {who}: wait for it (tailboard status {store}), or name another --store; what it "
        f"finishes is found by the next run{free}"
    )
