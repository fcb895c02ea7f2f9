"""What the report says of the tuning: values, budget, importance, and what another budget would have found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import pandas as pd

from ...leaderboard.statistics import budget
from ...leaderboard.tables.grid import Table
from ..spec.schema import Spec, Value
from ..tuning.configuration import Configuration
from ..tuning.results import SearchResult

FIELDS = [*budget.LINE, "hyperparameter", "default", "value", "range", "importance", "trials", "epochs",
          "device_seconds"]  # fmt: skip
HEADS = {"dataset": "Data set", "setting": "Setting", "protocol": "Protocol"}  # a column where several are tuned


@dataclass(frozen=True)
class TunedRow:
    """A row of the leaderboard that was tuned, by the words that name it there."""

    dataset: str
    setting: str
    protocol: str
    method: str
    tuned: SearchResult

    @property
    def names(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in budget.LINE}

    @property
    def winner(self) -> Configuration | None:
        """What is reported: nothing before the search is finished."""
        return self.tuned.winner if self.tuned.finished else None

    @property
    def epochs(self) -> int:
        return sum(c.epochs for c in self.tuned.configurations)

    @property
    def seconds(self) -> float:
        return sum(c.seconds for c in self.tuned.configurations)


def protocols(specs: Iterable[Spec]) -> dict[str, str]:
    """How each tuned spec was tuned, by its canonical text: so many trials, and all else that differs among the specs,
    so that two searches of one row never stand in one cell."""
    facts = {spec.canonical: _facts(spec) for spec in specs if spec.tune}
    differ = [n for n in next(iter(facts.values()), {}) if len({each[n] for each in facts.values()}) > 1]
    return {
        spec: ", ".join([f"tuned by {each['trials']} trials", *(f"{n} {each[n]}" for n in differ if n != "trials")])
        for spec, each in facts.items()
    }


def _facts(spec: Spec) -> dict[str, str]:
    assert spec.tune is not None  # noqa: S101
    tune = spec.tune
    facts = {name: str(value) for name, value in tune.model_dump().items()}
    searched = [f"{one.name} {one.range or ''}".strip() for one in tune.parameters]
    routine = [f"{name}={value}" for name, value in tune.training.items()]
    return facts | {
        "parameters": " + ".join(searched),
        "training": " ".join(routine) or "as reported",
        "shots": spec.shots.by if spec.shots.by == "tercile" else f"{spec.shots.few} to {spec.shots.many}",
    }


def caption(lines: Sequence[TunedRow], plain: bool = False) -> list[str]:
    """What was spent on tuning, in sentences; ``plain`` where some rows come from specs that tune nothing."""
    tunes = [line.tuned.search.tune for line in lines]
    trials, metrics = (_either(words) for words in ([str(t.trials) for t in tunes], [t.metric for t in tunes]))
    # Specs that differ in how many trials they ask for share what they have in common.
    spent = {(line.tuned.search.identity, c.number): c for line in lines for c in line.tuned.configurations}.values()
    hours, epochs = sum(c.seconds for c in spent) / 3600, sum(c.epochs for c in spent)
    return [
        f"Each method with something to tune got {trials} trials, its default values the first, judged by "
        f"{metrics} on validation images that no training saw, with seeds that no row uses.",
        f"{sum(c.state != 'running' for c in spent)} tuning trials and {epochs} epochs took {hours:.2g} device-hours.",
        *(["Where the title does not say tuned, every method ran at the values that its spec gives."] * plain),
    ]


def tables(lines: Sequence[TunedRow]) -> list[Table]:
    """The values used and what they cost, and the importance of each hyperparameter; none where nothing is tuned."""
    if not lines:
        return []
    several = [name for name in HEADS if len({getattr(line, name) for line in lines}) > 1]
    head = (*(HEADS[name] for name in several), "Method")
    where = {id(line): (*(getattr(line, name) for name in several), line.method) for line in lines}
    return [
        Table(
            "Tuning",
            head=(*head, "Values used"),
            spans=(("Spent", ("Trials", "Epochs", "Device-hours")), ("Validation", ("Defaults", "Winner"))),
            body=tuple((*where[id(line)], *_outcome(line)) for line in lines),
            footnotes=(),
            caption=(
                "The values of the winner, each with its default where it differs.",
                "Trials are all that ended, the defaults, pruned and failed ones among them; epochs and device-hours "
                "are theirs, without the networks that some methods start from.",
                f"Validation: {_either([line.tuned.search.tune.metric for line in lines])} in percent. The winner's is "
                "the best of all trials on the same images, so it flatters; the tables above do not use it.",
            ),
        ),
        Table(
            "Importance of each hyperparameter",
            head=(*head, "Hyperparameter", "Range"),
            spans=(("", ("Value used", "Importance")),),
            body=tuple((*where[id(line)], *texts) for line in lines for texts in _importance(line)),
            footnotes=(),
            caption=(
                "Importance: the share of each hyperparameter in what moved the validation metric, by Optuna's "
                "PED-ANOVA over every trial of the search that was judged; where some were stopped early, by what all "
                "had come to when the first of them were.",
                "With so few trials it is rough: it orders what mattered, and measures little.",
            ),
        ),
    ]


def values(lines: Sequence[TunedRow]) -> pd.DataFrame:
    """One row for each tuned row and hyperparameter, with the columns of ``FIELDS``: ``value`` is that of the winner
    (empty where there is none), ``importance`` a share of 1, ``device_seconds`` those of the whole search."""
    return pd.DataFrame(
        [
            line.names
            | {
                "hyperparameter": name,
                "default": dimension.default,
                "value": line.winner.values[name] if line.winner else None,
                "range": str(dimension.range),
                "importance": line.tuned.importance.get(name, nan),
                "trials": line.tuned.ended,
                "epochs": line.epochs,
                "device_seconds": line.seconds,
            }
            for line in lines
            for name, dimension in line.tuned.search.space.items()
        ],
        columns=pd.Index(FIELDS),
        dtype=object,
    )


def curves(lines: Sequence[TunedRow]) -> pd.DataFrame:
    """What each number of trials finds, for each tuned row (see ``leaderboard.budget.curves``)."""
    ended = [
        line.names | {"value": c.value if c.state == "complete" else nan, "epochs": c.epochs}
        for line in lines
        for c in line.tuned.configurations
        if c.state != "running"
    ]
    return budget.curves(pd.DataFrame(ended, columns=pd.Index([*budget.LINE, "value", "epochs"])))


def _outcome(line: TunedRow) -> tuple[str, ...]:
    """The texts of one row of the table "Tuning", after its name."""
    start = line.tuned.configurations[0] if line.tuned.configurations else None
    spent = str(line.tuned.ended), str(line.epochs), f"{line.seconds / 3600:.4g}"
    if line.winner is None:
        return line.tuned.unfinished_reason, *spent, _reached(start), "–"
    space = line.tuned.search.space
    used = _values(line.winner.values, {name: dimension.default for name, dimension in space.items()})
    return used, *spent, _reached(start), _reached(line.winner)


def _importance(line: TunedRow) -> list[tuple[str, ...]]:
    """A row for each hyperparameter of a line, after its name."""
    shares = line.tuned.importance
    unknown = f"n/a ({sum(c.value is not None for c in line.tuned.configurations)} judged trials)"
    return [
        (
            name,
            str(dimension.range),
            _number(line.winner.values[name]) if line.winner else "–",
            f"{shares[name]:.4g}" if name in shares else unknown,
        )
        for name, dimension in line.tuned.search.space.items()
    ]


def _values(used: Mapping[str, Value], defaults: Mapping[str, Any]) -> str:
    """Such as "step.rho=0.1234 (default 0.05), extra.lambda=0.5"."""
    words = [
        f"{name}={_number(used[name])}" + (f" (default {_number(default)})" if used[name] != default else "")
        for name, default in defaults.items()
    ]
    return ", ".join(words)


def _reached(found: Configuration | None) -> str:
    """The metric of a trial in percent; what became of it where it did not finish."""
    if found is None:
        return "–"
    return f"{found.value:#.4g}" if found.state == "complete" and found.value is not None else found.state


def _number(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _either(words: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(words))
