"""What a page says of its methods and data sets, from registry and catalog: nothing that a store holds is run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ....datasets.builtin import catalog
from ....leaderboard.html.model import DataCard, MethodCard
from ...spec.schema import Trial

APPENDIX = "arXiv 2312.02517"  # the paper whose tables and appendices the sources of our own methods name


def method_cards(trials: Mapping[str, Trial]) -> dict[str, MethodCard]:
    """A card for each method by its label: of a sum of methods, what each of its terms is.

    Args:
        trials: A trial of each method, by its label.
    """
    from ....methods import registry  # imports torch  # noqa: F401
    from ....methods.recipe import registered

    cards = {}
    for label, trial in trials.items():
        if trial.method.plugin:
            cards[label] = MethodCard(
                "A plugin's method; its file is kept with the trials, and not run to make this page."
            )
            continue
        whole = registered.get(trial.method.name)
        terms = [whole] if whole else [registered.get(term.strip()) for term in trial.method.name.split("+")]
        known = [entry for entry in terms if entry]
        if len(known) < len(terms):
            continue
        source = "; ".join(dict.fromkeys(_complete(entry.source) for entry in known))
        cards[label] = MethodCard(
            description="; ".join(entry.description for entry in known),
            source=source,
            year=_year(source),
            parts={slot: type(part).__name__ for entry in known for slot, part in entry.recipe.parts().items()},
            cost=known[0].cost if len(known) == 1 else None,
        )
    return cards


def data_cards(names: Iterable[str]) -> dict[str, DataCard]:
    """A card for each data set of the catalog; a user's own images have none."""
    known = {name: catalog().get(name) for name in names}
    return {name: DataCard(dataset.description, dataset.terms) for name, dataset in known.items() if dataset}


def _complete(source: str) -> str:
    """The source with the number of its paper, where it names only a part of ours."""
    ours = "arXiv" not in source and re.search(r"\b(Table|appendix|authors)\b", source)
    return f"{source} ({APPENDIX})" if ours else source


def _year(source: str) -> int | None:
    """The year of the first paper that a source names: as it stands there, or by its number on arXiv."""
    found = re.search(r"\b(?:19|20)\d\d\b(?!\.\d)|arXiv (\d\d)\d\d\.", source)
    return None if found is None else 2000 + int(found[1]) if found[1] else int(found[0])
