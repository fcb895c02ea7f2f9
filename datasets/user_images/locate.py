"""Where the images with given contents are on this machine: a trial's key holds their hash, and never a path."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..catalog import DataError
from ..files import cache, data_folders, folders_for
from .image_sets import IMAGE_SETS
from .scan import READERS, Scan, scan, write_whole
from .source import KINDS, SETS, Source

Moments = tuple[tuple[float, ...], tuple[float, ...]]
MOST_CANDIDATES = 1000  # folders or files that are looked at below a data folder


@dataclass(frozen=True)
class Remembered:
    """A source that had the contents when it was last seen, and the mean and deviation of its training images."""

    source: Source
    moments: Moments


def remember(scanned: Scan, moments: Moments) -> None:
    """Keep in the cache folder where the contents of a scan are; not where that cannot be written."""
    source = asdict(scanned.source) | {"path": str(scanned.source.path)}
    text = json.dumps({"source": source, "mean": moments[0], "std": moments[1]})
    place = _place(scanned.contents, scanned.groups_hash, scanned.shape)
    with suppress(OSError):
        if not place.is_file() or place.read_text(encoding="utf-8") != text:
            write_whole(place, text)


def remembered(contents: str, groups: str | None, shape: tuple[int, int, int]) -> Remembered | None:
    """What was kept of the contents, in those groups and at that shape.

    Args:
        contents: The hash of the images.
        groups: The column or file of groups, where there are any.
        shape: Channels, height and width.
    """
    try:
        kept = json.loads(_place(contents, groups, shape).read_text(encoding="utf-8"))
        source = Source(**kept["source"] | {"path": Path(kept["source"]["path"])})
        moments = tuple(map(float, kept["mean"])), tuple(map(float, kept["std"]))
        sound = source.kind in KINDS and len(moments[0]) == len(moments[1]) == shape[0]
        return Remembered(source, moments) if sound else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _place(contents: str, groups: str | None, shape: tuple[int, int, int]) -> Path:
    words = [contents, *([groups[:20]] if groups else []), "x".join(map(str, shape))]
    return cache() / "user-images" / "contents" / f"{'-'.join(words)}.json"


def located(name: str, contents: str, groups: str | None, shape: tuple[int, int, int], root: Path | None) -> Scan:
    """The scan, at ``shape``, of the images with these contents, in these groups.

    They are looked for where they were last seen, then below ``root`` and the folder ``TAILBOARD_DATA``. DataError
    where they are nowhere: they may have changed, or be on another machine.

    Args:
        name: Of the data set, for the message.
        contents: The hash of the images.
        groups: The column or file of groups, where there are any.
        shape: Channels, height and width.
        root: The folder to look in.
    """
    kept = remembered(contents, groups, shape)
    why = "they were never seen on this machine"
    if kept:
        try:
            scanned = scan(kept.source)
            if (scanned.contents, scanned.groups_hash) == (contents, groups):
                return replace(scanned, shape=shape)
            why = f"{kept.source.path} holds other images now: they changed after the plan was made"
        except DataError as error:
            why = f"{kept.source.path} held them, but {error}"
    for source in _candidates(name, root):
        with suppress(DataError):
            scanned = scan(source)
            if scanned.contents == contents:
                if scanned.groups_hash == groups:
                    return replace(scanned, shape=shape)
                why = f"{source.path} holds them, in other groups: a csv with the column for groups is needed"
    looked = "".join(f"; nothing in {place} has these contents" for place in data_folders(root))
    raise DataError(
        f"the images of {name} (contents {contents[:12]}) are not at hand: {why}{looked}. Name the folder that they "
        "are in with --root; or, if the change was meant, run the spec again: it is other data then, and trained anew"
    )


def _candidates(name: str, root: Path | None) -> Iterator[Source]:
    """Sources below the data folders, that of the right name first."""
    kind, _, last = name.partition(":")
    if name in SETS:
        splits = IMAGE_SETS[name].splits
        yield from (Source(name, place, split=split) for place in folders_for(name, root) for split in splits)
    if kind not in READERS or not last:
        return
    for base in data_folders(root):
        yield from (Source(kind, path) for path in (base / last, base) if _fits(kind, path))
        with suppress(OSError):
            paths = sorted(base.iterdir())[:MOST_CANDIDATES]
            yield from (Source(kind, path.resolve()) for path in paths if path.name != last and _fits(kind, path))


def _fits(kind: str, path: Path) -> bool:
    return path.is_dir() if kind == "folder" else path.is_file() and path.suffix.lower() == f".{kind}"
