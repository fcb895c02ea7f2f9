"""What is in a user's images, whether they can be trained on or not: counts, sizes, copies, leaks, unreadable files."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from ..catalog import DataError
from . import near_duplicates
from .class_names import class_order
from .listing import Item, refuse
from .pictures import Facts
from .scan import listed, scan
from .source import Source

SHOWN = 20  # of each kind of finding


def inspected(source: Source) -> dict[str, Any]:
    """The facts of a source, for a table or JSON. Every image is decoded, so that a damaged one is named.

    ``classes`` are in the order in which the tail runs, with their training and test images; ``ready`` says whether a
    run would take the images, and ``reason`` what it would say otherwise. ``copies`` are images with the same bytes,
    ``conflicts`` those of them with several labels, ``leaks`` those in training and test images both.
    ``near_duplicates`` and ``near_leaks`` are the same of images that look alike (see ``near_duplicates.py``); None
    where they were not looked for.

    Raises:
        DataError: where the images cannot even be listed.
    """
    listing, read = listed(source)
    hashes, wrong = near_duplicates.hashed(listing, [n for n, fact in enumerate(read) if isinstance(fact, Facts)])
    read = [wrong.get(number, fact) for number, fact in enumerate(read)]
    unreadable = [str(fact) for fact in read if isinstance(fact, DataError)]
    usable = [(item, fact) for item, fact in zip(listing.items, read, strict=True) if isinstance(fact, Facts)]
    facts: dict[str, Any] = {
        "name": source.name,
        "images": len(listing.items),
        "sizes": _counted(f"{fact.width}x{fact.height}" for _, fact in usable),
        "modes": _counted(fact.mode for _, fact in usable),
        "groups": len({item.group for item in listing.items} - {""}),
        **_copies(usable),
        "unreadable": unreadable[:SHOWN],
        "unreadable_files": len(unreadable),
        "notes": list(listing.notes),
        "ready": False,
        "reason": "",
    }
    names = [item.name for item in listing.items]
    digests = [fact.digest if isinstance(fact, Facts) else "" for fact in read]

    def alike(train: Sequence[int], test: Sequence[int]) -> dict[str, Any]:
        sides = dict.fromkeys(train, "train") | dict.fromkeys(test, "test")
        return near_duplicates.facts(hashes, names, digests, [sides.get(i, "") for i in range(len(read))], SHOWN)

    try:
        refuse([fact for fact in read if isinstance(fact, DataError)], len(read))
        result = scan(source)
    except DataError as error:
        totals = Counter(item.label for item in listing.items)
        classes = [{"class": name, "images": totals[name]} for name in class_order(totals)]
        parts = [[i for i, item in enumerate(listing.items) if (item.part == "test") == test] for test in (False, True)]
        return facts | {"classes": classes, "reason": str(error), **alike(*parts)}
    train, test = result.counts(result.train), result.counts(result.test)
    rows = [
        {"class": name, "train": trained, "test": tested}
        for name, trained, tested in zip(result.classes, train, test, strict=True)
    ]
    balanced = {"factor": round(max(train) / min(train), 3), "balanced_test": len(set(test)) == 1}
    shape = {"shape": list(result.shape), "contents": result.contents}
    facts |= {"classes": rows, **balanced, **shape, "notes": list(result.notes), "ready": True}
    return facts | alike(result.train, result.test)


def _counted(words: Any) -> dict[str, int]:
    """The commonest first."""
    return dict(Counter(words).most_common(SHOWN))


def _copies(usable: list[tuple[Item, Facts]]) -> dict[str, Any]:
    by_digest = defaultdict(list)
    for item, fact in usable:
        by_digest[fact.digest].append(item)
    several = [items for items in by_digest.values() if len(items) > 1]
    kinds = {
        "copies": several,
        "conflicts": [items for items in several if len({item.label for item in items}) > 1],
        "leaks": [items for items in several if "test" in (parts := {item.part for item in items}) and len(parts) > 1],
    }
    return {name: [[item.name for item in items] for items in sets[:SHOWN]] for name, sets in kinds.items()}
