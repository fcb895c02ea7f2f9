"""The commands as functions: what ``import tailboard`` hands on (``tailboard.run``, ``tune``, ``plan``, ``report``).

Each takes a spec as a path, the name of a shipped spec, a mapping, or a :class:`Spec`. An error that is the user's to
mend is raised as a ``UserError``, whose message is what the command line prints.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache as once
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from .. import UserError
from ..leaderboard.formats.notebook import notebook
from ..leaderboard.results import CELL, summarise
from .bundles.sources import opened
from .errors import ReportError, SpecError
from .metrics.rescoring import AS_RECORDED, parse_metric
from .planning.tuned_spec import TunedSpec, require_tune
from .reporting.gather import gather
from .reporting.natural_frequencies import with_further_metrics
from .reporting.pages import html_pages
from .reporting.report import ENDINGS, Report
from .spec.parser import parse, parse_shots, read
from .spec.schema import Spec, Trial
from .storage.store import Store
from .tracking.background import tell_report

SpecLike = str | Path | Mapping[str, Any] | Spec
FORMS = {f".{ending}": form for form, ending in ENDINGS.items()}  # of Leaderboard.save, beside .parquet and .html


def load_spec(spec: SpecLike, plugins: str | Path | Iterable[str | Path] = (), root: str | Path | None = None) -> Spec:
    """The spec itself.

    Args:
        spec: A YAML file, the name of a shipped spec, the mapping that a file would hold, or a ``Spec``.
        plugins: One or several Python files whose methods are compared too; with a path or a name only.
        root: The folder that holds image sets such as ``eurosat``.

    Returns:
        The spec.

    Raises:
        SpecError: with the field and the nearest right word. MethodError for what is wrong in a plugin. UserError for
            plugins of a mapping or a ``Spec``.
    """
    place = Path(root) if root else None
    files = [plugins] if isinstance(plugins, (str, Path)) else list(plugins)
    if isinstance(spec, (str, Path)):
        return read(spec, [Path(file) for file in files], root=place)
    if not isinstance(spec, (Spec, Mapping)):
        raise SpecError(f"a spec is a file, the name of a shipped one, a mapping or a Spec, not {type(spec).__name__}")
    if files:
        raise UserError(
            "plugins: only a file or a name takes more; name them in the spec, as {name: METHOD, plugin: FILE}"
        )
    return spec if isinstance(spec, Spec) else parse(spec, root=place)


def plan(spec: SpecLike, *, root: str | Path | None = None) -> list[Trial]:
    """The trials that a spec stands for, at the values that it gives; nothing is trained.

    Each has its ``key``: trials of one key have the same numbers.

    Args:
        spec, root: As in :func:`load_spec`.

    Raises:
        SpecError, MethodError, NetworkError, DataError: where a word, value or long tail cannot be had.
    """
    from .planning.request import RunRequest, check_names

    request = RunRequest.of(load_spec(spec, root=root))
    check_names(request.plan.trials, request.spec.plugins, anew=False)
    return list(request.plan.trials)


def run(
    spec: SpecLike,
    store: str | Path | None = None,
    *,
    slots: int | None = None,
    address: str | None = None,
    root: str | Path | None = None,
    verify: bool = True,
    plugins: Iterable[str | Path] = (),
    defaults: bool = False,
    retry_failed: bool = False,
) -> Leaderboard:
    """Train every trial of a spec that is not finished yet; where it has a block ``tune``, tune every method first.

    The same call resumes: a finished trial never runs again. Progress goes to stderr.

    Args:
        spec: As in :func:`load_spec`.
        store: A folder or a URL that fsspec knows (``s3://``); ``runs/NAME`` if not given.
        slots: Trials at a time; fills the machine if not given.
        address: A running Ray cluster to join, such as ``auto``; Ray is started on this machine if not given.
        root: The folder that holds the data.
        verify: Refuse data whose checksums are not the official ones.
        plugins: As in :func:`load_spec`.
        defaults: Tuned methods are also trained at the spec's own values.
        retry_failed: Train again what failed or diverged.

    Returns:
        The leaderboard of this spec, with cells that failed or are missing marked as such.

    Raises:
        KeyboardInterrupt: after Ctrl-C or SIGTERM; running trials have saved themselves by then.
        UserError: where the spec, the data, the store or the cluster is not as asked.
    """
    from . import driver

    request = driver.RunRequest.of(load_spec(spec, plugins, root), defaults=defaults, again=retry_failed)
    place = Store(store or f"runs/{request.spec.name}")
    trained = driver.train(request, place, slots=slots, address=address, root=root, verify=verify)
    if trained.interrupted:
        raise KeyboardInterrupt
    gathered = once(partial(gather, [place], only=trained.plan, defaults=defaults))  # MLflow is told the same
    gathered_report = with_further_metrics(gathered, [place])
    contents = partial(html_pages.contents, store=place, gathered=gathered)
    if trained.tracked and (away := tell_report(request.spec, place, contents)):
        warnings.warn(away, stacklevel=2)
    return Leaderboard(gathered_report, (str(place),))


def tune(
    spec: SpecLike,
    store: str | Path | None = None,
    *,
    slots: int | None = None,
    address: str | None = None,
    root: str | Path | None = None,
    verify: bool = True,
    plugins: Iterable[str | Path] = (),
) -> TunedSpec:
    """Only tune the methods of a spec. Progress goes to stderr.

    Args:
        spec, store, slots, address, root, verify, plugins: As in :func:`run`.

    Returns:
        The spec with what its searches found: ``table`` says it in words, and ``harness.planning.tuned_spec.save``
        writes it as plain specs.

    Raises:
        KeyboardInterrupt: after Ctrl-C or SIGTERM; running trials have saved themselves by then.
        UserError: where the spec has no block ``tune``; else as in :func:`run`.
    """
    from . import driver

    request = driver.RunRequest.of(load_spec(spec, plugins, root), report=False)
    require_tune(request.spec)
    place = Store(store or f"runs/{request.spec.name}")
    trained = driver.train(request, place, slots=slots, address=address, root=root, verify=verify)
    if trained.interrupted:
        raise KeyboardInterrupt
    return TunedSpec(request.spec, trained.plan.results)


def report(
    *stores: str | Path,
    few: int | None = None,
    many: int | None = None,
    tercile: bool = False,
    defaults: bool = False,
    budget: int | None = None,
    metric: str = "balanced_accuracy",
    prior: str = "test",
    tau: float = 0.0,
    weights: str = "ema",
) -> Leaderboard:
    """The leaderboard of stores and bundles; nothing is trained.

    Args:
        stores: Folders, URLs, or bundles (``.zip``).
        few: Few are classes with fewer training images (20 if not given).
        many: Many are classes with more (100 if not given).
        tercile: Rank the classes into thirds instead of counting.
        defaults: Tuned methods also at the spec's own values.
        budget: As if each search had ended after so many trials.
        metric: Such as ``macro_f1``, ``f1:CLASS`` or ``auroc``; ``tailboard list metrics`` names them all.
        prior: The classes of the test set: ``test`` (as they are), ``balanced``, ``train``, ``cat=0.9,dog=0.1``, or a
            file.
        tau: Post-hoc logit adjustment of every row.
        weights: ``ema`` (the moving average of each trial's weights at its end) or ``last`` (those weights themselves).

    Raises:
        StoreError: where there is no store. BundleError where a bundle does not hold. ReportError where a metric is
            unknown, or rows cannot stand in one table.
    """
    if not stores:
        raise ReportError("report: name at least one store or bundle")
    names, by = tuple(map(str, stores)), parse_shots(few, many, tercile)
    asked = parse_metric(metric, prior, tau, weights)
    rescore = None if asked == AS_RECORDED else asked
    with opened(names) as places:
        gathered = partial(gather, places, by, defaults=defaults, budget=budget, comparable=True)
        whole = gathered(rescore=rescore) if rescore else with_further_metrics(gathered, places)
        return Leaderboard(whole, names, by)


@dataclass(frozen=True)
class Leaderboard:
    """What a run or a report came to. In a notebook it shows its table."""

    report: Report
    stores: tuple[str, ...]
    by: Any = None  # how Few, Med and Many are counted where that was asked for

    @property
    def rows(self) -> pd.DataFrame:
        """The tidy table, a row a trial and group, with the columns of ``leaderboard.results.COLUMNS``
        and ``ROW``."""
        return self.report.rows

    @property
    def table(self) -> pd.DataFrame:
        """The wide table: a row a protocol, data set, setting and method, and for each group the columns ``mean`` and
        ``stderr`` in percent (NaN where no trial is complete, or a single seed leaves the error unknown)."""
        summary = summarise(self.rows, self.report.metric).set_index(CELL)[["mean", "stderr"]]
        groups = list(dict.fromkeys(self.rows["group"].astype(str)))
        columns = [(group, what) for group in groups for what in ("mean", "stderr")]
        wide = pd.DataFrame(summary.unstack("group", sort=False))[[(what, group) for group, what in columns]]
        return wide.set_axis(pd.MultiIndex.from_tuples(columns, names=["group", None]), axis="columns")

    @property
    def complete(self) -> bool:
        """Whether every planned trial is."""
        return self.report.complete

    def save(self, path: str | Path, versus: str | None = None, *, uncertainty: str = "se") -> Path:
        """Write it to a file, in the form that the ending says: .md, .tex, .csv, .json, .parquet or .html.

        Args:
            path: The file.
            versus: A method with which every other is compared, seed by seed.
            uncertainty: What follows ±: ``se``, ``std`` or ``ci95``.

        Raises:
            ReportError: for another ending, or a method that is not there. OSError where it cannot be written.
        """
        goal, form = Path(path), Path(path).suffix.lower()
        if form == ".html":
            with opened(self.stores) as places:
                options = html_pages.PageOptions(versus, by=self.by, uncertainty=uncertainty)
                html_pages.write_page(html_pages.page_content(self.report, places, options), goal)
        elif form == ".parquet":
            goal.write_bytes(self.report.parquet(versus))
        elif form in FORMS:
            text = self.report.rendered(FORMS[form], versus, uncertainty=uncertainty)
            goal.write_text(text, encoding="utf-8", newline="\n")
        else:
            raise ReportError(f"{path} must end in {', '.join(FORMS)}, .parquet or .html")
        return goal

    def __str__(self) -> str:
        return self.report.rendered("md")

    def _repr_html_(self) -> str:
        return notebook(self.rows, self.report.notes, self.report.tables, self.report.metric)
