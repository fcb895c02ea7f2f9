"""Records that are to be made again: they are moved out of the way, never deleted."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ..errors import StoreError
from .store import Store


def set_aside(store: Store, keys: Iterable[str], again: Collection[str] = ()) -> list[str]:
    """Move the records that cannot be read, or whose status is in ``again``, to ``damaged/``, so that their trials run
    again. What was wrong with each."""
    wanted = set(keys)
    rungs = [name for name in store.rungs() if name.partition("-")[0] in wanted]
    with ThreadPoolExecutor(8) as pool:
        found = [
            *pool.map(partial(_set_aside, store, again), sorted(store.finished() & wanted)),
            *pool.map(partial(_set_rung_aside, store), rungs),
        ]
    return [message for message in found if message]


def _set_rung_aside(store: Store, name: str) -> str:
    key, _, epochs = name.partition("-")
    try:
        store.rung(key, int(epochs))
    except (StoreError, ValueError) as error:
        _move(store, f"rungs/{name}.json", name)
        return str(error)
    return ""


def _set_aside(store: Store, again: Collection[str], key: str) -> str:
    try:
        record = store.record(key)
        wrong = f"{store}/records/{key}.json: {record.status}: {record.reason}" * (record.status in again)
    except FileNotFoundError:
        return ""
    except StoreError as error:
        wrong = str(error)
    if wrong:
        _move(store, f"records/{key}.json", key)
        store.remove(f"tracked/{key}")
    return wrong


def _move(store: Store, file: str, name: str) -> None:
    store.move(file, f"damaged/{name}.json")


def sweep_up(store: Store, kept: Collection[str]) -> None:
    """Remove what killed processes left: the checkpoints of trials that they had finished, and files half written."""
    store.clear_parts()
    for key in store.finished() & store.keys("checkpoints", ".pt"):
        # One that was stopped early may be on its way to its end, for another search.
        if store.is_done(key, keep=key in kept) and store.result(key).status != "pruned":
            store.remove(f"checkpoints/{key}.pt")
