"""What a site says of one of its pages: what it compares, how its methods stand, and what they and its data are."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from ..formats.text import plain
from ..metric import ACCURACY
from ..results import COLUMN, TRIAL, arranged, summarise
from ..shown_setting import shown_setting
from ..statistics.cost import training_costs
from ..statistics.tiers import tiers
from .model import DataCard, MethodCard, PageContent, PageFigure


@dataclass(frozen=True)
class Standing:
    """Where a method stands in the column by which its page is ranked, and what a training of it costs there, in
    trainings of ERM on the same machine; mean (percent), tier and cost may be missing."""

    method: str
    mean: float | None
    tier: int | None
    cost: float | None = None


@dataclass(frozen=True)
class DataFacts:
    """A data set in its setting: what it is, the training examples and group of each class from the largest on, how
    many test examples there are, and what they are: images or rows."""

    name: str
    setting: str
    card: DataCard | None
    counts: tuple[int, ...]
    groups: tuple[str, ...]
    tested: int
    examples: str = "images"


@dataclass(frozen=True)
class Board:
    """A page of the site.

    Args:
        folder: The folder that it is in, relative to the front page.
        title: Its name.
        trials: How many there are.
        finished: How many of them are complete.
        until: The day on which the last was finished; empty where none says.
        compared: The method that it opens compared with, in words.
        column: The column by which it is ranked.
        standings: The methods, the best first.
        cards: What its methods are, by name.
        data: Its data sets.
        bundle: Whether the bundle that it was made of lies beside it.
        figures: Its figures, each with what came of its claims, in words.
    """

    folder: str
    title: str
    trials: int
    finished: int
    until: str
    compared: str
    column: str
    standings: tuple[Standing, ...]
    cards: Mapping[str, MethodCard]
    data: tuple[DataFacts, ...]
    bundle: bool = False
    figures: tuple[str, ...] = ()

    @property
    def first_tier(self) -> list[Standing]:
        """The methods that none is separably better than."""
        return [one for one in self.standings if one.tier == 1]


def board(folder: str, subject: PageContent, versus: str | None = None) -> Board:
    """What the site says of a page.

    Args:
        folder: Of letters, digits, dots and dashes.
        subject: What the page shows.
        versus: The method that all pages were to be compared with, which this one may lack.
    """
    rows = arranged(subject.rows, subject.scored)
    trials = rows.drop_duplicates(TRIAL)
    column, standings = _standings(rows, subject)
    return Board(
        folder,
        plain(subject.title) if plain(subject.title) == folder else f"{plain(subject.title)} ({folder})",
        trials=len(trials),
        finished=int((trials["status"] == "complete").sum()),
        until=max((one.finished for one in subject.evidence.values()), default="")[:10],
        compared=plain(subject.versus or (f"nothing: no method {versus} here" if versus else "nothing")),
        column=column,
        standings=standings,
        cards={plain(name): card for name, card in subject.methods.items()},
        data=_data(rows, subject),
        figures=tuple(map(_figure, subject.figures)),
    )


def _figure(figure: PageFigure) -> str:
    verdicts = Counter(row[2].partition(":")[0] for row in figure.claims.body)
    came = ", ".join(f"{times} {verdict}" for verdict, times in verdicts.items()) or "it claims nothing"
    return f"{plain(figure.title)} ({came})"


def _standings(rows: pd.DataFrame, subject: PageContent) -> tuple[str, tuple[Standing, ...]]:
    """The column by which the page opens ranked, All of the first data set, and how the methods stand in it."""
    metric = subject.scored
    first = rows[COLUMN].drop_duplicates().groupby(COLUMN[:3], sort=False).last().reset_index().iloc[0]
    here = rows[(rows[COLUMN] == first[COLUMN]).all(axis=1)]
    ranked = tiers(here, metric)[tuple(map(str, first[COLUMN]))]
    cells = summarise(here, metric).sort_values(
        "mean", ascending=not metric.larger_is_better, kind="stable", na_position="last"
    )
    label = "" if metric.name == ACCURACY.name else plain(metric.label)
    words = [label, str(first["group"]).title(), plain(str(first["dataset"])), _shown(first["setting"])]
    costs = training_costs(here, {key: one.start_seconds for key, one in subject.evidence.items()})
    cost = {method: float(ratio) for method, ratio in zip(costs["method"], costs["erm"], strict=True) if ratio > 0}
    return ", ".join(filter(None, words)), tuple(
        Standing(plain(str(method)), None if pd.isna(mean) else float(mean), ranked.get(str(method)), cost.get(method))
        for method, mean in zip(cells["method"], cells["mean"], strict=True)
    )


def _shown(setting: object) -> str:
    return plain(shown_setting(str(setting)))


def _data(rows: pd.DataFrame, subject: PageContent) -> tuple[DataFacts, ...]:
    facts = []
    for (name, setting), trials in rows.groupby(["dataset", "setting"], sort=False):
        keys = (key for key in trials["key"].unique() if key in subject.evidence)
        known = next((subject.evidence[key] for key in keys if subject.evidence[key].right), None)
        counts = known.counts if known else ()
        order = sorted(range(len(counts)), key=lambda place: -counts[place])
        facts.append(
            DataFacts(
                plain(str(name)), _shown(setting), subject.data.get(str(name)),
                counts=tuple(counts[place] for place in order),
                groups=tuple(known.groups[place] for place in order) if known else (),
                tested=sum(known.tests) if known else 0,
                examples=subject.scored.examples,
            )
        )  # fmt: skip
    return tuple(facts)
