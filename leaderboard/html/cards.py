"""The cards of a page as plain objects: what its methods and data sets are."""

from dataclasses import asdict
from typing import Any

from ..formats.text import plain
from .model import PageContent


def cards(subject: PageContent) -> dict[str, dict[str, Any]]:
    """The cards by method and by data set, under the names that the page shows."""
    return {
        "methods": {plain(name): _plain(asdict(card)) for name, card in subject.methods.items()},
        "data": {plain(name): _plain(asdict(card)) for name, card in subject.data.items()},
    }


def _plain(card: dict[str, Any]) -> dict[str, Any]:
    return {name: plain(value) if isinstance(value, str) else value for name, value in card.items()}
