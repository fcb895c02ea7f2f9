"""Where the table with given contents is on this machine: a trial's key holds their hash, and never a path."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..array_cache import stamp
from ..catalog import DataError
from ..files import cache, data_folders
from ..user_images.scan import write_whole
from . import collections_of_tables as collections
from .source import FILES, WORDS, TableSource
from .table import Table, table

MOST_CANDIDATES = 1000  # files that are looked at below a data folder
VERSION = 2  # of what is kept in the cache


def remember(source: TableSource, hashes: tuple[str, str | None], facts: Mapping[str, Any]) -> None:
    """Keep in the cache folder what a source held, and where; not where that cannot be written.

    Args:
        source: The source.
        hashes: Of its contents, and of its groups.
        facts: All that is asked for again.
    """
    kept = asdict(source) | {"path": str(source.path)}
    with suppress(OSError, TypeError):  # it is read again, then
        write_whole(_seen(source), json.dumps({"stamps": _stamps(source), "facts": dict(facts)}))
        write_whole(_place(hashes), json.dumps(kept))


def known(source: TableSource) -> dict[str, Any] | None:
    """What :func:`remember` kept of a source whose files have not changed since."""
    try:
        kept = json.loads(_seen(source).read_text(encoding="utf-8"))
        return kept["facts"] if kept["stamps"] == _stamps(source) and isinstance(kept["facts"], dict) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def located(name: str, hashes: tuple[str, str | None], roles: Mapping[str, str | None], root: Path | None) -> Table:
    """The table with these contents: looked for where it was last seen, then below ``root`` and ``TAILBOARD_DATA``.

    Args:
        name: What reports call it.
        hashes: Of its contents, and of which training rows belong together (None: none do).
        roles: The columns of label, group, split and weight.
        root: A folder to look in.

    Raises:
        DataError: where it is nowhere: it may have changed, or be on another machine.
    """
    why = "it was never seen on this machine"
    with suppress(OSError, ValueError, TypeError, KeyError):
        kept = json.loads(_place(hashes).read_text(encoding="utf-8"))
        source = TableSource(**kept | {"path": Path(kept["path"])})
        try:
            if read := _with_contents(source, hashes):
                return read
            why = f"{source.path} holds other rows now: it changed after the plan was made"
        except (DataError, OSError) as error:
            why = f"{source.path} held it, but {error}"
    for source in _candidates(name, roles, root):
        with suppress(DataError):
            if read := _with_contents(source, hashes):
                return read
    looked = "".join(f"; nothing in {place} has these contents" for place in data_folders(root))
    raise DataError(
        f"the table {name} (contents {hashes[0][:12]}) is not at hand: {why}{looked}. Name its folder with "
        "--root; or, if the change was meant, run the spec again: it is other data then, and trained anew"
    )


def _with_contents(source: TableSource, hashes: tuple[str, str | None]) -> Table | None:
    """What a source holds where it has these contents, to a trial of an earlier version perhaps."""
    for unnamed_indexes in (False, True) if source.kind in FILES else (False,):
        read = table(source, unnamed_indexes)
        if (read.contents, read.groups_hash) == hashes:
            return read
    return None


def _candidates(name: str, roles: Mapping[str, str | None], root: Path | None) -> Iterator[TableSource]:
    """Sources below the data folders, that of the right name first."""
    kind, _, last = name.partition(":")
    words: dict[str, Any] = {word: roles.get(word) for word in WORDS}
    if kind in collections.KINDS:
        with suppress(DataError):
            yield TableSource(kind, collections.place_of(kind, last, root), last, **words)
    if kind not in FILES:
        return
    for base in data_folders(root):
        if (base / last).is_file():
            yield TableSource(kind, (base / last).resolve(), **words)
        with suppress(OSError):
            paths = sorted(base.iterdir())[:MOST_CANDIDATES]
            others = [p for p in paths if p.name != last and p.suffix.lower() == f".{kind}" and p.is_file()]
            yield from (TableSource(kind, path.resolve(), **words) for path in others)


def _stamps(source: TableSource) -> Any:
    """What changes when the source does."""
    if source.kind != "openml":
        return stamp(source.path)
    return stamp(source.path / collections.DESCRIPTION.format(source.member))


def _seen(source: TableSource) -> Path:
    words = json.dumps([VERSION, asdict(source) | {"path": str(source.path)}], sort_keys=True)
    return cache() / "user-tables" / "files" / f"{hashlib.sha256(words.encode()).hexdigest()[:20]}.json"


def _place(hashes: tuple[str, str | None]) -> Path:
    words = [hashes[0], *([hashes[1][:20]] if hashes[1] else [])]
    return cache() / "user-tables" / "contents" / f"{'-'.join(words)}.json"
