"""What one page shows, and what stands behind each trial of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ..figures.figure import Axis
from ..metric import ACCURACY, Metric
from ..published.comparison import Routine
from ..tables.grid import Table


@dataclass(frozen=True)
class Evidence:
    """What stands behind one trial.

    Args:
        counts: The training images of each class.
        tests: The test images of each class.
        right: How many of those the trial classified rightly; empty where it did not finish.
        classes: The classes' names; empty where they are not known.
        groups: The shot group of each class (few, med or many), as the report counts them.
        facts: Words for each thing that is recorded of its machine and versions.
        values: The hyperparameters.
        rerun: The command that trains it again, as the texts before and after the seed.
        log: The traceback of a failure.
        course: When it ran and how often it was tried.
        finished: When it ended, such as 2026-11-29T12:00:00+00:00.
        starts: The networks that it started from; empty where there are none.
        start_seconds: What their training took.
        confusion: Which classes were taken for which, as `confusion.Confusion` packs it; empty where no record tells.
        curve: The epochs (from 1) and the mean training loss of each.
    """

    counts: tuple[int, ...] = ()
    tests: tuple[int, ...] = ()
    right: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    rerun: tuple[str, str] = ("", "")
    log: str = ""
    course: str = ""
    finished: str = ""
    starts: str = ""
    start_seconds: float = 0.0
    confusion: str = ""
    curve: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class MethodCard:
    """What a method is: a sentence, its source, the year of that, its part in each slot, and what a step of it costs as
    a multiple of ERM's, where its author states it."""

    description: str
    source: str = ""
    year: int | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    cost: float | None = None


@dataclass(frozen=True)
class DataCard:
    """What a data set is, with its source, and the terms of its use."""

    description: str
    terms: str


@dataclass(frozen=True)
class StudyChart:
    """The curves of one quantity in one panel of a figure.

    Args:
        panel: What its trials share.
        axis: What the quantity is drawn against.
        points: With the columns of ``figures.figure.POINTS``.
    """

    panel: str
    axis: Axis
    points: pd.DataFrame


@dataclass(frozen=True)
class PageFigure:
    """A figure of the runs that a page is of.

    Args:
        title: Its study.
        claim: What the paper says; empty where nothing is said.
        claims: What came of each claim.
        points: What is drawn.
        notes: Sentences for the caption.
        picture: The SVG; empty where there is none.
        csv: The points, to be saved.
        charts: The points again, to be drawn by the page.
        regions: Whether the picture shows what no chart does, such as decision regions.
    """

    title: str
    claim: str
    claims: Table
    points: Table
    notes: Sequence[str]
    picture: bytes
    csv: bytes
    charts: Sequence[StudyChart] = ()
    regions: bool = False


@dataclass(frozen=True)
class PageContent:
    """What one page shows.

    Args:
        title: Its heading.
        rows: The tidy table (see `results.check`).
        evidence: What stands behind each trial, by the key of its rows; trials may be left out.
        notes: Plain sentences, such as what was spent.
        versus: The method that is compared with when the page opens.
        published: Quoted rows (see `published`).
        methods: A card for each method, by its label; methods may be left out.
        data: A card for each data set, by its name; data sets may be left out.
        routines: How the rows of each protocol were trained, by which the measured are set beside the quoted; none:
            they are quoted only.
        budget: What each number of tuning trials found (see `budget.curves`), and in which metric.
        shots: The boundaries of few and many; None where the groups are no such classes.
        uncertainty: What follows ± when the page opens: a word of `tables.UNCERTAINTY`.
        scored: The metric of the rows.
        further: Tables of other metrics and of costs, below that of the rows.
        figures: Those that the plans ask for.
    """

    title: str
    rows: pd.DataFrame
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    notes: Sequence[str] = ()
    versus: str | None = None
    published: pd.DataFrame | None = None
    budget: pd.DataFrame | None = None
    metric: str = ""
    shots: tuple[int, int] | None = None
    uncertainty: str = "se"
    routines: Mapping[str, Routine] = field(default_factory=dict)
    scored: Metric = ACCURACY
    further: Sequence[Table] = ()
    figures: Sequence[PageFigure] = ()
    methods: Mapping[str, MethodCard] = field(default_factory=dict)
    data: Mapping[str, DataCard] = field(default_factory=dict)
