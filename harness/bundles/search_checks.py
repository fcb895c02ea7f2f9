"""A search against the records and rungs of its trials: each configuration must have come to what they say, in every
field, and halving is done once more: so the best of them is the best, and what was spent was spent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..spec.schema import Spec
from ..text import redact_paths
from ..tuning import archive
from ..tuning.configuration import Configuration
from ..tuning.optuna_study import read_study
from ..tuning.results import SearchResult
from ..tuning.space import at_least
from ..tuning.successive_halving import Ended, outcomes
from .bundle import Bundle
from .record_checks import Mismatch


def searched(bundle: Bundle, spec: Spec, one: SearchResult) -> Iterator[Mismatch]:
    """What of a search does not follow from what is in the bundle."""
    file, name = archive.studies_path(spec), one.search.name
    with archive.open_studies(spec, {one.search.experiment.canonical: one.search}, bundle) as opened:
        study = read_study(opened, name)
        judged = study.intermediate_values() if study else []
    possible = outcomes(one.search, one.configurations, bundle)
    for c in one.configurations:
        for field, said, is_ in _compared(c, judged[c.number], possible[c.number]):
            yield Mismatch(file, ", ".join([name, f"configuration {c.number}", *field]), said, is_)
    there, more = len(one.configurations), at_least(one.search.space)
    if one.exhausted and there < min(one.search.tune.trials, more):
        yield Mismatch(file, f"{name}, exhausted", "True", f"{there} of {more} configurations or more")


def _compared(c: Configuration, at: Mapping[int, float], possible: list[Ended]) -> Iterator[tuple[list[str], str, str]]:
    """The field, none for how it ended, and what is claimed and found of it."""
    alike = [_fields(*ended) for ended in possible if _end(ended[0]) == _end(c)]
    claimed = _fields(c, at)
    if not alike:
        words = dict.fromkeys(_end(ended) for ended, _ in possible)
        yield [], _end(c), " or ".join(words) or "no records of it"
    elif claimed not in alike:
        for field, is_ in alike[0].items():
            if claimed[field] != is_:
                yield [field], str(claimed[field]), str(is_)


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
