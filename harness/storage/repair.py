"""Records that are to be made again: they are moved out of the way, never deleted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from ..errors import StoreError
from . import paths
from .record import Record
from .store import Store


def set_aside(
    store: Store, keys: Iterable[str], again: Collection[str] = (), keep: Callable[[Record], None] = lambda _: None
) -> list[str]:
    """Move records to ``damaged/``, so that their trials run again.

    Args:
        store: Whose.
        keys: Of the trials that are looked at.
        again: The statuses of records that are moved though they can be read.
        keep: Gets each record that stays, in one of several threads.

    Returns:
        What was wrong with each that was moved.
    """
    wanted = set(keys)
    rungs = [name for name in store.rungs() if name.partition("-")[0] in wanted]
    with ThreadPoolExecutor(8) as pool:
        messages = [
            *pool.map(partial(_set_aside, store, again, keep), sorted(store.finished() & wanted)),
            *pool.map(partial(_set_rung_aside, store), rungs),
        ]
    return [message for message in messages if message]


def _set_rung_aside(store: Store, name: str) -> str:
    key, _, epochs = name.partition("-")
    try:
        store.rung(key, int(epochs))
    except (StoreError, ValueError) as error:
        store.move(paths.rung_named(name), paths.damaged(name))
        return str(error)
    return ""


def _set_aside(store: Store, again: Collection[str], keep: Callable[[Record], None], key: str) -> str:
    try:
        record = store.record(key)
        if record.status not in again:
            keep(record)
            return ""
        wrong = f"{store}/{paths.record(key)}: {record.status}: {record.reason}"
    except FileNotFoundError:
        return ""
    except StoreError as error:
        wrong = str(error)
    store.move(paths.record(key), paths.damaged(key))
    store.remove(paths.tracked(key))
    return wrong


def sweep_up(store: Store, missing: Collection[str]) -> None:
    """Remove what killed processes left: files half written, and the checkpoints of trials that they had finished, but
    for those that are ``missing`` something and trained again."""
    store.clear_parts()
    for key in store.finished() & store.keys(paths.CHECKPOINTS) - set(missing):
        with suppress(StoreError, FileNotFoundError):
            # One that was stopped early may be on its way to its end, for another search.
            if store.result(key).status != "pruned":
                store.remove(paths.checkpoint(key))
