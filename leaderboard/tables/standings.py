"""How the methods stand over all data sets, as tables: average ranks where there are enough, else wins and losses."""

from collections.abc import Sequence

import pandas as pd

from ..metric import ACCURACY, GROUPS, Metric
from ..results import empty_groups, summarise
from ..statistics.paired import ALPHA, paired
from ..statistics.ranks import FEWEST_DATASETS, Ranks, critical_difference, ranked
from .grid import Table

RANKED = (
    "Average rank over data sets, 1 the best; a data set in several settings counts once, by its mean over them.",
    "Two methods differ where their ranks lie at least the critical difference (CD) apart (Nemenyi's test at "
    f"{ALPHA}; Demsar 2006), which depends on what other methods are in the pool.",
)
COUNTED = (
    "Columns (data set and setting) in which the method is better, not separable and worse by the paired test with "
    "Holm's correction, and those of which no word is due: wins / ties / losses / no word."
)


def standings(rows: pd.DataFrame, versus: str | None = None, metric: Metric = ACCURACY) -> list[Table]:
    """For each protocol a table of average ranks; with fewer than six data sets one of wins, ties and losses against
    `versus`, where that is given.

    Args:
        rows: The tidy rows.
        versus: A method to compare each other with.
        metric: What their values are.

    Raises:
        ValueError: if the rows are not tidy, or `versus` is not among the methods.
    """
    rankings = ranked(summarise(rows, metric), metric)
    empty = empty_groups(rows)
    compared = None if versus is None else paired(rows, versus, metric)
    tables = []
    for protocol in dict.fromkeys(ranking.protocol for ranking in rankings):
        of_protocol = sorted(
            (one for one in rankings if one.protocol == protocol and one.group not in empty.get(protocol, [])),
            key=lambda ranking: GROUPS.index(ranking.group),
        )
        if enough := [ranking for ranking in of_protocol if ranking.ranks]:
            tables.append(ranks_table(protocol, enough))
        elif compared is not None:
            tables.append(_counts(protocol, of_protocol, compared[compared["protocol"] == protocol], str(versus)))
    return tables


def why_not(rankings: Sequence[Ranks]) -> str:
    """Why nothing is ranked, in one sentence; nothing where something is."""
    most = max(rankings, key=lambda one: (bool(one.ranks), one.datasets, one.methods))
    if most.ranks:
        return ""
    if most.methods < 3:
        return f"No average ranks: they need three methods with every cell complete, and here are {most.methods}."
    gap = critical_difference(most.methods, most.datasets)
    return (
        f"No average ranks and no critical-difference diagram: they need {FEWEST_DATASETS} data sets. Over the "
        f"{most.datasets} here, two of {most.methods} methods would have to lie {gap:.1f} ranks apart, where the "
        f"largest gap that there can be is {most.methods - 1}."
    )


def ranks_table(protocol: str, rankings: Sequence[Ranks]) -> Table:
    """Average ranks of each group, with their critical difference."""
    names = {name for ranking in rankings for name in ranking.ranks}
    methods = sorted(names, key=lambda name: rankings[-1].ranks.get(name, 1e9))
    facts = [
        f"{r.group.title()}: {r.datasets} data sets, CD {r.critical:.2f}, Friedman's p {r.p:.2g}." for r in rankings
    ]
    left_out = [
        f"{ranking.group.title()}: left out, since not every cell is complete: {', '.join(ranking.left_out)}."
        for ranking in rankings
        if ranking.left_out
    ]
    return Table(
        f"{protocol}: average ranks",
        spans=(("", tuple(ranking.group.title() for ranking in rankings)),),
        body=tuple((m, *(f"{r.ranks[m]:.2f}" if m in r.ranks else "–" for r in rankings)) for m in methods),
        footnotes=(),
        caption=(*RANKED, *facts, *left_out),
    )


def _counts(protocol: str, rankings: Sequence[Ranks], compared: pd.DataFrame, versus: str) -> Table:
    groups = [ranking.group for ranking in rankings]
    counts = compared.groupby(["method", "group"], sort=False)["verdict"].value_counts().to_dict()
    words = ("better", "not separable", "worse", "")
    body = [
        (method, *(" / ".join(str(counts.get((method, group, word), 0)) for word in words) for group in groups))
        for method in dict.fromkeys(compared["method"])
    ]
    return Table(
        f"{protocol}: wins, ties and losses against {versus}",
        spans=(("", tuple(group.title() for group in groups)),),
        body=tuple(body),
        footnotes=(),
        caption=(COUNTED, why_not(rankings)),
    )
