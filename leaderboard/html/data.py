"""What the page is made of, as one plain object: blocks of columns, lines of cells, and the trials behind them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from scipy.special import stdtrit

from ..formats import latex, markdown
from ..formats.text import plain
from ..metric import GROUPS
from ..results import COLUMN, arranged, empty_groups, summarise
from ..statistics.cost import training_costs
from ..statistics.paired import ALPHA, FEWEST_SEEDS, NO_SPREAD, detectable
from ..statistics.tiers import tiers
from ..tables.cell_texts import USUAL_SEEDS
from ..tables.differences import rule
from ..tables.report_tables import UNVERIFIED, View, measured, no_class
from .cards import cards
from .evidence import LINE, behind, trials_of
from .figures import charts
from .model import Evidence, PageContent
from .published import number, quoted, records
from .shared import Interner

BLOCK = ["protocol", "dataset", "setting"]
TIERS = (
    "Tier 1 are the best method of the column and all that are not separable from it (paired t-test, p at least "
    f"{ALPHA} after Holm's correction over the methods of the column); the best of the rest opens the next tier, and "
    "may stand above a method of an earlier tier whose seeds vary more. "
    f"– is a method of which no word is due: fewer than {FEWEST_SEEDS} seeds, or one failed or missing."
)


def content(subject: PageContent) -> dict[str, Any]:
    """The page's object, of lists, numbers and strings only; numbers that are not there are None.

    Names are made plain (see `report.plain`), accuracies are in percent and times in seconds.

    Raises:
        ValueError: if the rows are not tidy, or `versus` is not among the methods.
    """
    rows = arranged(subject.rows, subject.scored)
    if subject.versus is not None and subject.versus not in set(rows["method"]):
        raise ValueError(f"no method {subject.versus!r} to compare with")
    cells = summarise(rows, subject.scored)
    profiles, facts = Interner(), Interner()
    lines = _lines(rows, cells, tiers(rows, subject.scored), subject.evidence, profiles, facts)
    about = [*measured(View(metric=subject.scored))[1:], *([] if cells["verified"].all() else [UNVERIFIED])]
    return {
        "title": plain(subject.title),
        "notes": [*about, *map(plain, subject.notes)],
        **({"examples": subject.scored.examples} if subject.scored.examples != "images" else {}),
        "compared": rule(),
        "ranked": TIERS,
        "cards": cards(subject),
        **({"studies": drawn} if (drawn := charts(subject.figures)) else {}),
        "spread": subject.uncertainty,
        "versus": subject.versus and plain(subject.versus),
        "shots": list(subject.shots) if subject.shots else None,
        "methods": [plain(method) for method in rows["method"].unique()],
        "blocks": _blocks(cells, empty_groups(rows)),
        "lines": lines,
        "profiles": profiles.kept,
        "facts": facts.kept,
        **quoted(cells, subject),
        "budget": [] if subject.budget is None else records(subject.budget),
        "metric": plain(subject.metric),
        "measure": {
            "name": plain(subject.scored.name),
            "label": plain(subject.scored.label),
            "text": plain(subject.scored.text),
            "counted": subject.scored.of_hits,
        },
        "statistics": _statistics(cells),
        "markup": {"markdown": markdown.MARKDOWN, "latex": latex.LATEX, "safe": "".join(sorted(latex.SAFE_IN_LATEX))},
    }


def _blocks(cells: pd.DataFrame, empty: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Each protocol's data sets and settings, with their groups, and which of these hold no class in any of them: those
    are shown only where a reader sets other boundaries."""
    return [
        {
            **{word: plain(str(block[word].iloc[0])) for word in BLOCK},
            "verified": bool(block["verified"].all()),
            "groups": [group for group in GROUPS if group in set(block["group"])],
            **({"empty": none, "why": no_class(none)[0]} if (none := empty.get(str(protocol), [])) else {}),
        }
        for (protocol, *_), block in cells.groupby(BLOCK, sort=False)
    ]


def _lines(
    rows: pd.DataFrame,
    cells: pd.DataFrame,
    tier_of: Mapping[tuple[str, ...], Mapping[str, int]],
    evidence: Mapping[str, Evidence],
    profiles: Interner,
    facts: Interner,
) -> list[dict[str, Any]]:
    """Each method of each block: its cells by group, what stands behind them (see `evidence.behind`), and
    its `cost` in trainings of ERM on the same machine, where that is known."""
    block = cells.groupby(BLOCK, sort=False).ngroup()
    methods = {method: number for number, method in enumerate(rows["method"].unique())}
    lines: dict[tuple[str, ...], dict[str, Any]] = {}
    for place, cell in zip(block, cells.to_dict("records"), strict=True):
        name = tuple(str(cell[word]) for word in LINE)
        line = lines.setdefault(name, {"block": place, "method": methods[cell["method"]], "cells": {}})
        line["cells"][cell["group"]] = {
            "mean": number(cell["mean"]),
            "stderr": number(cell["stderr"]),
            **{word: cell[word] for word in ("n", "planned", "failed", "status")},
            "reason": plain(cell["reason"]),
            "verified": bool(cell["verified"]),
            "tier": tier_of[tuple(str(cell[word]) for word in COLUMN)].get(str(cell["method"])),
        }
    for name, trials in trials_of(rows).items():
        lines[name]["behind"] = behind(trials, evidence, profiles, facts)
    started = {key: one.start_seconds for key, one in evidence.items()}
    for cost in training_costs(rows, started).to_dict("records"):
        if (ratio := number(cost["erm"])) is not None:
            lines[tuple(str(cost[word]) for word in LINE)]["cost"] = float(f"{ratio:.3g}")
    return list(lines.values())


def _statistics(cells: pd.DataFrame) -> dict[str, Any]:
    """The constants by which the page judges as `statistics.paired` does: the quantiles of Student's t by n, and the
    detectable difference in standard errors by n and the number of comparisons."""
    counts = range(2, int(cells["planned"].max()) + 1)
    families = {int(n) - out for n in cells.groupby([*BLOCK, "group"]).size() for out in (0, 1)} - {0}
    return {
        "alpha": ALPHA,
        "fewest": FEWEST_SEEDS,
        "no_spread": NO_SPREAD,
        "usual": USUAL_SEEDS,
        "quantile": {n: float(stdtrit(n - 1, 1 - ALPHA / 2)) for n in counts},
        "detectable": {n: {family: detectable(n, family) for family in sorted(families)} for n in counts},
    }
