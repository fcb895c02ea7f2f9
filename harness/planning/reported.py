"""What the searches of a spec have come to, and with it the trials that its report shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..spec.schema import Spec, Trial, cells, plan
from ..storage.store import STUDIES, Store
from ..tuning import study_archive as retold
from ..tuning.configuration import Configuration, best

if TYPE_CHECKING:
    from ..tuning.search import Search


@dataclass(frozen=True)
class Planned:
    """A trial that a report shows. ``row`` is the row's trial at the spec's own values, by which the row is named;
    ``mark`` tells rows of one method apart, ``protocol`` what was done besides training. ``why`` says why there is no
    such trial (it is then ``row``), and ``failed`` whether it never can be one."""

    trial: Trial
    row: Trial
    mark: str = ""
    protocol: str = ""
    why: str = ""
    failed: bool = False

    @property
    def key(self) -> str:
        return self.keys([self.row.seed])[0]

    def keys(self, seeds: Sequence[int]) -> list[str]:
        """Of the same row's trials of these seeds."""
        keys = self.trial.keys(seeds)
        if self.trial is self.row and not (self.mark or self.why):  # the common case, by the short way
            return keys
        more = " ".join(filter(None, [self.mark, "without values" if self.why else ""]))
        rows = ("" if row == key else f"of {row}" for key, row in zip(keys, self.row.keys(seeds), strict=True))
        # Two rows may come to one trial.
        return [" ".join(filter(None, [key, row, more])) for key, row in zip(keys, rows, strict=True)]


@dataclass(frozen=True)
class Row:
    """A row of a report: trials that differ by their seeds only, of which ``first`` is one. A report of a million
    trials holds its rows, and of the trials the keys."""

    first: Planned
    seeds: tuple[int, ...]

    @property
    def identity(self) -> tuple[Any, ...]:
        """All that it is but its seeds."""
        return *self.first.keys([0]), self.first.protocol

    @property
    def keys(self) -> list[str]:
        """Of each seed, as in the column ``key`` of the rows."""
        return self.first.keys(self.seeds)

    def each(self) -> Iterator[Planned]:
        for seed in self.seeds:
            row = _at(self.first.row, seed)
            trial = row if self.first.trial is self.first.row else _at(self.first.trial, seed)
            yield replace(self.first, trial=trial, row=row)


def once(rows: Iterable[Row]) -> list[Row]:
    """Each row once, with the seeds of all that are it."""
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        other = found.setdefault(row.identity, row)
        if other is not row:
            found[row.identity] = Row(other.first, tuple(dict.fromkeys((*other.seeds, *row.seeds))))
    return list(found.values())


def _at(trial: Trial, seed: int) -> Trial:
    return trial if trial.seed == seed else trial.model_copy(update={"seed": seed})


@dataclass(frozen=True)
class Tuned:
    """A search, its first configurations (as many as the budget allows), and the share of each hyperparameter in what
    moved the metric, over all of them. ``exhausted``: the space holds no more. ``unknown``: the store has no studies,
    whatever was tried."""

    search: Search
    configurations: tuple[Configuration, ...]
    importance: Mapping[str, float]
    exhausted: bool
    unknown: bool = False

    @cached_property
    def winner(self) -> Configuration | None:
        return best(self.configurations)

    @property
    def ended(self) -> int:
        return sum(c.state != "running" for c in self.configurations)

    @property
    def finished(self) -> bool:
        return self.ended >= (len(self.configurations) if self.exhausted else self.search.tune.trials)

    @property
    def why_not(self) -> str:
        """Why there are no values to report at; nothing where there are."""
        if self.unknown:
            return f"tuning: the store has no {STUDIES}; the same run makes it again from the records there are"
        if not self.finished:
            return f"tuning is not finished: {self.ended} of {self.search.tune.trials} trials"
        if self.winner is None:
            reasons = [c.reason for c in self.configurations if c.reason]
            return f"tuning: none of {self.ended} trials finished" + (f"; {reasons[0]}" if reasons else "")
        return ""


def tuned(
    spec: Spec, store: Store, searches: Mapping[str, Search] | None = None, importance: bool = True
) -> dict[str, Tuned]:
    """Each search of a spec, by the canonical text of its row; none where nothing is tuned.

    ``searches`` are those of a spec that is being run; otherwise they are what they were when it was. Without
    ``importance`` that is left empty, since it takes a while.
    """
    if spec.tune is None:
        return {}
    from ..tuning.archive import remembered  # imports torch and optuna

    found = remembered(spec, store) if searches is None else searches
    if not (store.has(STUDIES) or store.has(retold.file(spec))):
        return {row: Tuned(search, (), {}, False, unknown=True) for row, search in found.items()}
    with retold.studies(spec, found, store) as opened:
        return {row: _read(search, opened, importance) for row, search in found.items()}


def _read(search: Search, storage: Any, importance: bool) -> Tuned:
    from ..tuning.optuna_study import read

    study = read(storage, search.name)
    if study is None:
        return Tuned(search, (), {}, False)
    some = tuple(study.configurations()[: search.tune.trials])
    return Tuned(search, some, study.importance(search.tune.trials) if importance else {}, study.exhausted)


def rows(spec: Spec, found: Mapping[str, Tuned], defaults: bool = False) -> list[Row]:
    """Every row that the report of a spec shows; with ``defaults`` each tuned row also at the spec's own values. A spec
    may say one twice (see :func:`once`)."""
    protocol = f"tuned by {spec.tune.trials} trials" if spec.tune else ""
    shown = []
    for cell in cells(spec):
        search, row = found.get(cell.canonical) if found else None, cell.trial(spec.seeds[0])
        shown.append(_final(row, search, protocol) if search else Planned(row, row, protocol=protocol))
        if search and defaults:
            shown.append(Planned(row, row, "defaults", protocol))
    return [Row(one, spec.seeds) for one in shown]


def planned(spec: Spec, found: Mapping[str, Tuned], defaults: bool = False) -> list[Planned]:
    """Every trial of these rows, each row's together."""
    shown = [one for row in rows(spec, found, defaults) for one in row.each()]
    return list({one.key: one for one in shown}.values())


def _final(row: Trial, search: Tuned, protocol: str) -> Planned:
    if search.winner is None or not search.finished:
        return Planned(row, row, protocol=protocol, why=search.why_not, failed=search.finished)
    return Planned(search.search.final(search.winner, row.seed), row, protocol=protocol)


def known(spec: Spec, store: Store) -> list[Trial]:
    """Every trial of a spec that is known by now."""
    return trials_of(spec, tuned(spec, store, importance=False))


def trials_of(spec: Spec, found: Mapping[str, Tuned]) -> list[Trial]:
    """Every trial of a spec that is known by now: reported, tuning, or started from."""
    tuning = [t for one in found.values() for c in one.configurations for t in one.search.trials(c)]
    first = [t for one in found.values() for t in one.search.generators()]
    final = [one.trial for one in planned(spec, found)]
    return list({trial.key: trial for trial in (*plan(spec), *first, *tuning, *final)}.values())
