"""What of a spec is to be done, and whether its names and values can be had."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ...datasets.lock import locked
from ...methods.part import MethodError
from ..registry.datasets import dataset_of, long_tail
from ..registry.methods import recipe_of
from ..registry.network_names import check_name
from ..registry.networks import check_shape
from ..spec.schema import Spec, Trial
from ..testing.dry_run import dry_run
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
        """Of a spec as the user wrote it: each method once (see ``same_methods.py``)."""
        distinct, remarks = distinct_methods(spec)
        return cls(distinct, remarks=remarks, **options)

    @cached_property
    def plan(self) -> Plan:
        """What the spec stands for."""
        return Plan(self.spec)


def check_names(trials: Iterable[Trial], plugins: Mapping[str, str]) -> None:
    """MethodError, NetworkError or DataError at the first name, value or long tail that cannot be had."""
    trials = list(trials)
    for trial in {t.method.model_dump_json(): t for t in trials}.values():
        _check_method(trial, plugins)
    for name in {t.network for t in trials}:
        check_name(name)
    for trial in {(t.data, t.val_per_class): t for t in trials}.values():
        long_tail(trial.data, trial.val_per_class)
    for name, shape in {(t.network, dataset_of(t.data).shape) for t in trials if ":" in t.network}:
        check_shape(name, shape)


def _check_method(trial: Trial, plugins: Mapping[str, str]) -> None:
    """MethodError where parts clash only when they are built: now, on random images, not after an hour of training.

    What else a method does wrong is its trial's to record, with the traceback.
    """
    with locked():
        made = recipe_of(trial, plugins)
    try:
        with locked():
            dry_run(made)
    except MethodError as error:
        raise MethodError(f"{trial.method.name}: {error}") from error
    except Exception:  # noqa: S110  (see above)
        pass
