"""A search against the records and rungs of its trials: each configuration must have come to what they say, in every
field, and halving is done once more: so the best of them is the best, and what was spent was spent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..spec.schema import Spec
from ..storage import paths
from ..text import redact_paths
from ..tuning import archive
from ..tuning.configuration import Configuration
from ..tuning.dimension import at_least
from ..tuning.optuna_study import read_study
from ..tuning.results import SearchResult
from ..tuning.successive_halving import Ended, outcomes
from .bundle import Bundle
from .record_checks import Mismatch


def searched(bundle: Bundle, spec: Spec, result: SearchResult) -> Iterator[Mismatch]:
    """What of a search does not follow from what is in the bundle.

    Args:
        bundle: What is checked.
        spec: The plan.
        result: One of its searches, with what is claimed to have come of it.

    Returns:
        A mismatch for each claim that does not hold.
    """
    file, name = paths.studies(spec.name), result.search.name
    with archive.open_studies(spec, {result.search.experiment.canonical: result.search}, bundle) as opened:
        study = read_study(opened, name)
        judged = study.intermediate_values() if study else []
    ends = outcomes(result.search, result.configurations, bundle)
    for c, at, end in zip(result.configurations, judged, ends, strict=False):
        for field, said, is_ in _compared((c, at), end):
            yield Mismatch(file, ", ".join([name, f"configuration {c.number}", *field]), said, is_)
    there, more = len(result.configurations), at_least(result.search.space)
    if result.exhausted and there < min(result.search.tune.trials, more):
        yield Mismatch(file, f"{name}, exhausted", "True", f"{there} of {more} configurations or more")


def _compared(claimed: Ended, end: Ended | None) -> Iterator[tuple[list[str], str, str]]:
    """The field, none for how it ended, and what is claimed and found of it."""
    if end is None:
        yield [], _end(claimed[0]), "no records of it"
    elif _end(claimed[0]) != _end(end[0]):
        yield [], _end(claimed[0]), _end(end[0])
    else:
        said, found = _fields(*claimed), _fields(*end)
        yield from (([name], str(said[name]), str(found[name])) for name in said if said[name] != found[name])


def _end(c: Configuration) -> str:
    return c.state if c.value is None else f"{c.state} at {c.value!r}"


def _fields(c: Configuration, at: Mapping[int, float]) -> dict[str, Any]:
    return {
        "epochs": c.epochs,
        "seconds": c.seconds,
        "reason": redact_paths(c.reason),
        "keys": tuple(c.keys),
        "at": dict(at),
    }
