"""Opens what a report is made of: stores, and bundles, which are verified first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..storage.reader import StoreReader
from ..storage.store import Store
from .bundle import Bundle


@contextmanager
def opened(places: Sequence[str]) -> Iterator[list[StoreReader]]:
    """The stores at these places; a file is a bundle. BundleError where one does not hold: no table is made of it."""
    with ExitStack() as stack:
        stores: list[StoreReader] = []
        for place in places:
            if not is_bundle(place):
                stores.append(Store(place))
                continue
            from .split_checks import SplitConsistency  # these import torch
            from .verify import require

            bundle = Bundle(Path(place))
            stack.callback(bundle.close)
            require(bundle, SplitConsistency(local=False))
            stores.append(bundle)
        yield stores


def is_bundle(place: str) -> bool:
    """Whether ``place`` (a path or URL) names a file, which then is a bundle, and not a store."""
    return "://" not in place and (place.endswith(".zip") or Path(place).expanduser().is_file())
