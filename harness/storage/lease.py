"""One driver to a store: a second would train the same trials beside the first.

On a local file system the kernel lets go of a dead process's lock at once. Elsewhere a file is renewed while its
driver lives; it counts as abandoned after a while, and at once where its driver is seen to have died on this machine.
"""

from __future__ import annotations

import json
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

FILE = paths.DRIVER
RENEW_SECONDS, ABANDONED_SECONDS = 20.0, 90.0


@contextmanager
def only_driver(store: Store) -> Iterator[None]:
    """Inside, this process is the store's driver. StoreError where another one is."""
    with _local(store) if store.local else _remote(store):
        yield


@contextmanager
def _local(store: Store) -> Iterator[None]:
    path = Path(store.root, ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise StoreError(_refusal(store)) from None
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
    """Two drivers that start within the same second are told apart by who wrote last."""
    if _alive(_other(store)):
        raise StoreError(_refusal(store))
    lease = _Lease(store)
    time.sleep(1.0)
    if not lease.held():
        raise StoreError(_refusal(store))
    lease.start()
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
    if not store.has(FILE) or not store.local:
        return store.has(FILE) and _alive(_other(store))
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


class _Lease:
    """The file that says who the driver is, and the thread that renews it.

    Where the file is another's, this process was out of touch for so long that it was taken for dead: it is
    interrupted, as by Ctrl-C, and what it finished is there for the other.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._id = store, uuid.uuid4().hex
        self.lost, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="lease", daemon=True)
        self._renew()

    def held(self) -> bool:
        return _other(self._store).get("id") == self._id

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
        with suppress(OSError):  # then it counts as abandoned after a while
            if not self.lost.is_set() and self.held():
                self._store.remove(FILE)

    def _renew(self) -> None:
        self._store.write(FILE, _about(id=self._id))

    def _work(self) -> None:
        while not self._ended.wait(RENEW_SECONDS):
            with suppress(OSError):  # a store that answers with errors for a while: the trials find out themselves
                other = _other(self._store)
                if other.get("id") != self._id and _alive(other):
                    self.lost.set()
                    os.kill(os.getpid(), signal.SIGINT)
                    return
                self._renew()


def _about(**words: str) -> bytes:
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
    """What the driver that holds the store says of itself; nothing where that cannot be read."""
    try:
        found = json.loads(store.read(FILE))
    except (FileNotFoundError, ValueError, RecursionError, StoreError):
        return {}
    return found if isinstance(found, dict) else {}


def _alive(other: dict[str, Any]) -> bool:
    """Whether it has written lately, and is not known to be dead: of a process of this machine that can be seen."""
    at, process = other.get("at", 0), other.get("process")
    if not isinstance(at, (int, float)) or time.time() - at >= ABANDONED_SECONDS:
        return False
    mine = _process(os.getpid())
    here = bool(mine) and isinstance(process, list) and len(process) == len(mine) and process[:2] == mine[:2]
    return not here or not isinstance(other.get("pid"), int) or _process(other["pid"]) == process


def _refusal(store: Store) -> str:
    other = _other(store)
    free = f"; a driver that is dead holds it for {ABANDONED_SECONDS:.0f} s more" * (not store.local)
    who = f"process {other.get('pid')} on {other.get('host')}" if other else "another process"
    return (
        f"{store} is being filled by {who}: wait for it (tailboard status {store}), or name another --store; what it "
        f"finishes is found by the next run{free}"
    )
