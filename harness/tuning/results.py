"""The results of a spec's searches: configurations, winners, and the importance of each hyperparameter."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..errors import StoreError
from ..spec.schema import Spec
from ..storage import paths
from ..storage.reader import StoreReader
from ..storage.store import Store
from .configuration import Configuration, best

if TYPE_CHECKING:
    from .search import Search


@dataclass(frozen=True)
class SearchResult:
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
        """The best configuration; None where none has finished."""
        return best(self.configurations)

    @property
    def ended(self) -> int:
        """How many configurations have ended."""
        return sum(c.state != "running" for c in self.configurations)

    @property
    def finished(self) -> bool:
        """Whether the budget is spent, or the space exhausted."""
        return self.ended >= (len(self.configurations) if self.exhausted else self.search.tune.trials)

    @property
    def unfinished_reason(self) -> str:
        """Why there are no values to report at; nothing where there are."""
        if self.unknown:
            return f"tuning: the store has no {paths.STUDIES}; the same run makes it again from the records there are"
        if not self.finished:
            return f"tuning is not finished: {self.ended} of {self.search.tune.trials} trials"
        if self.winner is None:
            reasons = [c.reason for c in self.configurations if c.reason]
            return f"tuning: none of {self.ended} trials finished" + (f"; {reasons[0]}" if reasons else "")
        return ""


def search_results(spec: Spec, store: StoreReader, importance: bool = True) -> dict[str, SearchResult]:
    """Each search of a spec, as it was when the spec was run.

    Args:
        spec: The plan.
        store: A store or a bundle.
        importance: Whether the importance of each hyperparameter is worked out, which takes a while.

    Returns:
        The results by the canonical text of their rows; none where nothing is tuned.

    Raises:
        StoreError: where what is stored of them is missing or damaged.
    """
    if spec.tune is None:
        return {}
    from . import archive  # imports optuna

    searches = archive.load_searches(spec, store)
    if not (store.has(paths.STUDIES) or store.has(paths.studies(spec.name))):
        return _unknown(searches)
    with archive.open_studies(spec, searches, store) as storage:
        return _read(searches, storage, importance)


class RunStorage:
    """Optuna's storage in the store of a run: opened once, when it is first needed, and closed with the run."""

    def __init__(self, store: Store) -> None:
        self._store, self._stack = store, ExitStack()

    def __enter__(self) -> RunStorage:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    @cached_property
    def opened(self) -> Any:
        """The storage; made now where the store has none. StoreError where it is damaged."""
        from .optuna_study import open_storage  # imports optuna

        return self._stack.enter_context(open_storage(self._store))

    def results(self, searches: Mapping[str, Search], importance: bool = True) -> dict[str, SearchResult]:
        """What these searches have come to so far, by the canonical text of their rows."""
        if not searches:
            return {}
        if "opened" not in vars(self) and not self._store.has(paths.STUDIES):
            return _unknown(searches)
        return _read(searches, self.opened, importance)


def _unknown(searches: Mapping[str, Search]) -> dict[str, SearchResult]:
    return {row: SearchResult(search, (), {}, False, unknown=True) for row, search in searches.items()}


def _read(searches: Mapping[str, Search], storage: Any, importance: bool) -> dict[str, SearchResult]:
    return {row: _result(search, storage, importance) for row, search in searches.items()}


def _result(search: Search, storage: Any, importance: bool) -> SearchResult:
    from .optuna_study import read_study

    study = read_study(storage, search.name)
    if study is None:
        return SearchResult(search, (), {}, False)
    configurations = tuple(study.configurations()[: search.tune.trials])
    if wrong := next((c for c in configurations if c.values.keys() != search.space.keys()), None):
        has, wanted = (", ".join(sorted(words)) or "nothing" for words in (wrong.values, search.space))
        raise StoreError(
            f"{paths.STUDIES} cannot be read: configuration {wrong.number} of {search.name} has {has}, not {wanted}"
        )
    shares = study.importance(search.tune.trials) if importance else {}
    return SearchResult(search, configurations, shares, study.exhausted)
