"""A plan: what a spec stands for, resolved once and handed on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ..spec.labels import learner_label
from ..spec.schema import Spec, Trial
from ..spec.schema import plan as reported_by
from ..tuning.plan_rows import plan_rows
from ..tuning.search import Search, searches
from .dependencies import Dependencies, resolve_dependencies


@dataclass(frozen=True)
class Plan:
    """The trials of a spec, what they start from, and its searches. Each is worked out when it is first asked for; that
    raises SpecError or MethodError where the spec asks for what is not there."""

    spec: Spec

    @cached_property
    def trials(self) -> list[Trial]:
        """Every trial that is reported, at the values that the spec gives, each once; without those that are not tried,
        where others are."""
        tried = [trial for row in plan_rows(self.spec, {}) if not row.not_tried for trial in row.trials]
        return list({trial.key: trial for trial in tried}.values()) or reported_by(self.spec)

    @cached_property
    def not_tried(self) -> dict[str, str]:
        """Why rows are not tried, by what they are."""
        rows = plan_rows(self.spec, {})
        return {f"{learner_label(row.first)}, {row.first.data.title}": row.not_tried for row in rows if row.not_tried}

    @cached_property
    def searches(self) -> dict[str, Search]:
        """The search of each row that has one, by the row's canonical text."""
        return searches(self.spec)

    @cached_property
    def default_trials(self) -> list[Trial]:
        """The trials of each search's first configuration, the defaults; what follows depends on what they come to."""
        return [trial for search in self.searches.values() for trial in search.default_trials()]

    @cached_property
    def dependencies(self) -> Dependencies:
        """The reported trials, and those that they start from."""
        return resolve_dependencies(self.trials, self.spec.plugins)

    @cached_property
    def all_dependencies(self) -> Dependencies:
        """The same with the default trials of the searches."""
        return resolve_dependencies([*self.trials, *self.default_trials], self.spec.plugins)

    @cached_property
    def prerequisites(self) -> list[Trial]:
        """The trials whose networks reported ones start from."""
        return [trial for trial in self.dependencies.trials if trial.key in self.dependencies.prerequisite_keys]
