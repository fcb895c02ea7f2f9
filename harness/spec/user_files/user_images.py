"""A user's own data in a spec: images, as ``folder:PATH``, ``csv:FILE``, ``npz:FILE`` or ``hf:NAME``, and tables, as
``csv:FILE``, ``parquet:FILE``, ``openml:ID`` or ``imblearn:NAME``, become the contents found there; so does the name of
an image set that is read alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ....datasets.user_images.source import WORDS, is_user_images
from ....datasets.user_tables.source import WORDS as TABLE_WORDS
from ....datasets.user_tables.source import is_user_table
from ....datasets.user_tables.source import source_of as table_source
from ...errors import SpecError
from ..schema import Data

TAIL = ("profile", "imbalance_factor", "train_ratio", "head", "total", "majority", "minority")


def resolved(words: Mapping[str, Any], folder: Path, root: Path | None = None) -> Mapping[str, Any]:
    """The words of ``Data`` for those of a spec; what names no data of the user's own is returned as it is.

    Their classes keep their own distribution where nothing is said of a tail. Where ``contents`` are given they were
    resolved before, and the files are looked for when they are needed.

    Args:
        words: An entry of ``data``.
        folder: What a relative path is relative to.
        root: The folder that holds image sets such as ``eurosat``, and collections such as OpenML's.

    Raises:
        DataError: where the images or the table cannot be trained on.
    """
    if "contents" not in words and is_user_table(words, folder):
        return _table(words, folder, root)
    if not is_user_images(words.get("name")) or "contents" in words:
        return words
    from ....datasets.user_images.dataset import resolve  # imports numpy
    from ....datasets.user_images.image_sets import source_of

    source = source_of(words, folder, root)
    facts, _ = resolve(source)
    kept = _with_tail({word: value for word, value in words.items() if word not in WORDS}, facts.available)
    return kept | {"name": source.name, "contents": asdict(facts)}


def _table(words: Mapping[str, Any], folder: Path, root: Path | None) -> dict[str, Any]:
    from ....datasets.user_tables.dataset import resolve  # imports numpy

    source = table_source(words, folder, root)
    facts, _ = resolve(source)
    kept = _with_tail({word: value for word, value in words.items() if word not in TABLE_WORDS}, facts.available)
    return kept | {"name": source.name, "contents": facts.words}


def _with_tail(words: Mapping[str, Any], available: Sequence[int]) -> dict[str, Any]:
    """With the natural tail where nothing is said of one; ``available`` are the training examples of each class."""
    kept = dict(words)
    if not kept.keys() & set(TAIL):
        kept["profile"] = "natural"
    if kept.get("profile") == "natural" and not kept.keys() & {"imbalance_factor", "train_ratio"}:
        kept["imbalance_factor"] = max(available) / min(available)
    return kept


def check_names(data: Iterable[Data]) -> None:
    """SpecError where two data sets that hold other images would stand under one name in a table."""
    seen: dict[str, tuple[str, str | None]] = {}
    for name, contents in ((item.name, item.contents) for item in data):
        held = (contents.sha256, contents.groups) if contents else ("", None)
        first = seen.setdefault(name, held)
        if first[0] != held[0]:
            raise SpecError(f"data: two data sets would both be shown as {name!r}: rename one of the two")
        if first != held:
            raise SpecError(f"data: {name!r} stands there with two kinds of groups, which a table would not tell apart")
