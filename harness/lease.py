"""One driver to a store: a second would train the same trials beside the first.

On a local file system the kernel lets go of a dead process's lock at once. Elsewhere a file is renewed while its
driver lives, and counts as abandoned after a while.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from .store import Store, StoreError

FILE = "driver.json"
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
    if _alive(store):
        raise StoreError(_refusal(store))
    mine = _about()
    store.write(FILE, mine)
    time.sleep(1.0)
    if store.read(FILE) != mine:
        raise StoreError(_refusal(store))
    ended = threading.Event()
    beat = threading.Thread(target=_renew, args=(store, ended), name="lease", daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join()
        store.remove(FILE)


def is_driven(store: Store) -> bool:
    """Whether a living process is the store's driver."""
    if not store.has(FILE) or not store.local:
        return store.has(FILE) and _alive(store)
    try:
        with FileLock(Path(store.root, ".lock"), timeout=0):
            return False
    except Timeout:
        return True


def _renew(store: Store, ended: threading.Event) -> None:
    while not ended.wait(RENEW_SECONDS):
        try:
            store.write(FILE, _about())
        except OSError:  # a store that answers with errors for a while: the trials find out themselves
            continue


def _about() -> bytes:
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "at": time.time()}).encode()


def _other(store: Store) -> dict[str, float | str]:
    """What the driver that holds the store says of itself; nothing where that cannot be read."""
    try:
        found = json.loads(store.read(FILE))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _alive(store: Store) -> bool:
    at = _other(store).get("at", 0)
    return isinstance(at, (int, float)) and time.time() - at < ABANDONED_SECONDS


def _refusal(store: Store) -> str:
    other = _other(store)
    who = f"process {other.get('pid')} on {other.get('host')}" if other else "another process"
    return (
        f"{store} is being filled by {who}: wait for it (tailboard status {store}), or name another --store; what it "
        "finishes is found by the next run"
    )
