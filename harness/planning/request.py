"""What of a spec is to be done, and whether its names and values can be had."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..errors import NetworkError, field
from ..registry.datasets import dataset_of, each_once, long_tail
from ..registry.estimators import learner_of, table_learners
from ..registry.limits import MOST_ROWS, why_not_tried
from ..registry.network_names import check_name
from ..spec.schema import Spec, Trial, pretraining
from .fused_seeds import with_fused_seeds
from .method_check import check_methods
from .passed_checks import check_new_methods
from .plan import Plan
from .same_methods import distinct_methods


@dataclass(frozen=True)
class RunRequest:
    """What of a spec is to be done: its searches, its report, its rows at their own values beside the tuned ones; and
    ``again`` what failed the last time. ``remarks`` are for the user."""

    spec: Spec
    report: bool = True
    defaults: bool = False
    again: bool = False
    remarks: Sequence[str] = ()

    @classmethod
    def of(cls, spec: Spec, **options: bool) -> RunRequest:
        """Of a spec as the user wrote it: each method once (see ``same_methods.py``), with the seeds that it fuses.

        Raises:
            DataError, MethodError: where the spec names a data set, method or value that is not there.
        """
        with field("data"):
            for data in each_once(spec.data):
                dataset_of(data)
        with field("methods"):
            distinct, remarks = distinct_methods(spec)
            asked = with_fused_seeds(distinct)
        return cls(asked, remarks=remarks, **options)

    @cached_property
    def plan(self) -> Plan:
        """What the spec stands for."""
        return Plan(self.spec)


def check_names(trials: Iterable[Trial], plugins: Mapping[str, str], anew: bool = True) -> None:
    """Check that all that trials name can be had.

    Args:
        trials: The trials.
        plugins: The texts of plugin files, by their hashes.
        anew: Whether each method is built, though it passed before (see ``passed_checks.py``).

    Raises:
        MethodError, NetworkError, DataError: at the first name, value or long tail that cannot.
    """
    trials = list({trial.key: trial for trial in trials}.values())
    starts = list({start.key: start for start in map(pretraining, trials) if start}.values())
    if starts:
        _check_words(starts, plugins, anew, "network.weights.data", "network.weights.method")
    _check_words(trials, plugins, anew, "data", "methods")
    _check_pretraining(trials)
    images = [trial for trial in (*starts, *trials) if trial.training.learner == "images"]
    if of_libraries := {(t.network, dataset_of(t.data).shape) for t in images if ":" in t.network}:
        from ..registry.networks import check_shape

        for name, shape in of_libraries:
            with field("network"):
                check_shape(name, shape)


def _check_words(trials: Sequence[Trial], plugins: Mapping[str, str], anew: bool, data: str, method: str) -> None:
    """The same of trials whose data sets and methods are named in these fields of the spec."""
    with field(data):
        for each in each_once(trial.data for trial in trials):
            dataset_of(each)
    with field("network"):
        _check_learners(trials)
    methods = {f"{t.method.model_dump_json()} {_learner_words(t)}": t for t in trials}
    with field(method):
        if anew:
            check_methods(list(methods.values()), plugins)
        else:
            check_new_methods(methods, plugins)
    with field(data):
        for trial in {(t.data, t.val_per_class): t for t in trials}.values():
            long_tail(trial.data, trial.val_per_class)


def _check_pretraining(trials: Iterable[Trial]) -> None:
    """NetworkError where the images of a pretraining have other channels than those of the trials that start from
    it."""
    for trial in trials:
        if start := pretraining(trial):
            channels, needs = (dataset_of(each.data).shape[0] for each in (start, trial))
            if channels != needs:
                wanted = f"{trial.data.title} of {needs}"
                raise NetworkError(
                    f"network.weights.data: {start.data.title} has images of {channels} channels, {wanted}"
                )


def _learner_words(trial: Trial) -> tuple[str, ...]:
    """What of a learner and its data decides which methods it can honour: all of an estimator, of a network only its
    kind; of a table its columns and classes."""
    kind = trial.training.learner
    table = (trial.data.name, str(trial.data.contents)) if kind != "images" else ()
    return (kind, trial.network, str(trial.network_values), *table) if kind == "estimator" else (kind, *table)


def _check_learners(trials: Sequence[Trial]) -> None:
    """NetworkError where there is no network or estimator of a name, or it is not for the kind of its data or for so
    many rows."""
    for trial in {(t.data, t.val_per_class, t.network, str(t.network_values)): t for t in trials}.values():
        images, table = trial.training.learner == "images", bool(dataset_of(trial.data).columns)
        learner = learner_of(trial)
        if learner is None:
            check_name(trial.network)
        if images == table:
            kinds, rest = ("images", "a table") if table else ("the rows of a table", "images")
            raise NetworkError(
                f"network: {trial.network} is for {kinds}, and {trial.data.name} is {rest}"
                + (f"; for tables: {', '.join(table_learners())}" if table else "")
            )
    for trial in {(t.data, t.val_per_class, t.network, t.method.name): t for t in trials}.values():
        if why := why_not_tried(trial):
            raise NetworkError(
                f"network: {why}; data: {{name: {trial.data.name}, total: {MOST_ROWS}}} cuts a tail of so many"
            )
