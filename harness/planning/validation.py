"""What only the registries know of a plan: that its methods, values, networks and data exist, before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ...datasets.lock import locked
from ...methods.part import MethodError
from ..registry.datasets import long_tail
from ..registry.methods import recipe_of
from ..registry.networks import check_name
from ..spec.schema import Trial
from ..testing.dry_run import rehearsal
from ..training.scoring_process import scoring_process


def check_words(trials: Iterable[Trial], plugins: Mapping[str, str]) -> None:
    """MethodError, NetworkError or DataError at the first name, value or long tail that cannot be had."""
    trials = list(trials)
    for trial in {t.method.model_dump_json(): t for t in trials}.values():
        _assembled(trial, plugins)
    for name in {t.network for t in trials}:
        check_name(name)
    for trial in {(t.data, t.val_per_class): t for t in trials}.values():
        long_tail(trial.data, trial.val_per_class)


def _assembled(trial: Trial, plugins: Mapping[str, str]) -> None:
    """MethodError where parts clash only when they are built: now, on random images, not after an hour of training.

    What else a method does wrong is its trial's to record, with the traceback.
    """
    with locked():
        made = recipe_of(trial, plugins)
    try:
        with locked():
            rehearsal(made)
    except MethodError as error:
        raise MethodError(f"{trial.method.name}: {error}") from error
    except Exception:  # noqa: S110  (see above)
        pass


def check_files(trials: Iterable[Trial], root: Path | None, verify: bool) -> None:
    """DataError at the first data set whose files are missing, damaged or not the official ones. They are looked at in
    the process that scores: this one has run methods' code."""
    for name in dict.fromkeys(trial.data.name for trial in trials):
        scoring_process().prepare(name, root, verify)
