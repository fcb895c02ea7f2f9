"""What the report says of the tuning: values, budget, importance, and what another budget would have found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan

import pandas as pd

from ...leaderboard.shown_setting import shown_setting
from ...leaderboard.statistics import budget
from ...leaderboard.tables.grid import Table, hours_text
from ..spec.schema import Spec, Tune, Value
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
        """What identifies the row, by the columns of ``leaderboard.statistics.budget.LINE``."""
        return {name: getattr(self, name) for name in budget.LINE}

    @property
    def winner(self) -> Configuration | None:
        """What is reported: nothing before the search is finished."""
        return self.tuned.winner if self.tuned.finished else None

    @property
    def epochs(self) -> int:
        """The epochs that its search has trained; a fit of an estimator counts as one."""
        return sum(c.epochs for c in self.tuned.configurations)

    @property
    def seconds(self) -> float:
        """The seconds that the training of its search took."""
        return sum(c.seconds for c in self.tuned.configurations)


def protocols(specs: Iterable[Spec]) -> dict[str, str]:
    """How each tuned spec was tuned, by its canonical text: so many trials, and all else that differs among the specs,
    so that two searches of one row never stand in one cell."""
    facts = {spec.canonical: _facts(spec, spec.tune) for spec in specs if spec.tune}
    names = [name for name in Tune.model_fields if name != "trials"] + ["shots"]
    differing = [name for name in names if len({each[name] for each in facts.values()}) > 1]
    return {
        spec: ", ".join([f"tuned by {each['trials']} trials", *(f"{name} {each[name]}" for name in differing)])
        for spec, each in facts.items()
    }


def _facts(spec: Spec, tune: Tune) -> dict[str, str]:
    searched = [f"{parameter.name} {parameter.range or ''}".strip() for parameter in tune.parameters]
    routine = [f"{name}={value}" for name, value in tune.training.items()]
    return {name: str(getattr(tune, name)) for name in Tune.model_fields} | {
        "val": tune.val or "balanced",
        "parameters": " + ".join(searched),
        "training": " ".join(routine) or "as reported",
        "shots": spec.shots.by if spec.shots.by == "tercile" else f"{spec.shots.few} to {spec.shots.many}",
    }


def caption(lines: Sequence[TunedRow], examples: str, plain: bool = False) -> list[str]:
    """What was spent on tuning, in sentences.

    Args:
        lines: The rows that were tuned.
        examples: What the data sets hold: images or rows.
        plain: Whether some rows come from specs that tune nothing.
    """
    tunes = [line.tuned.search.tune for line in lines]
    trials, metrics = _either(str(tune.trials) for tune in tunes), _either(tune.metric for tune in tunes)
    natural = " of natural proportions" * any(tune.val for tune in tunes)
    # Specs that differ in how many trials they ask for share what they have in common.
    spent = {(line.tuned.search.identity, c.number): c for line in lines for c in line.tuned.configurations}
    hours, ended = sum(c.seconds for c in spent.values()) / 3600, sum(c.state != "running" for c in spent.values())
    counted = dict.fromkeys(map(_counted, lines), 0)
    unit = {line.tuned.search.identity: _counted(line) for line in lines}
    for (identity, _), each in spent.items():
        counted[unit[identity]] += each.epochs
    counts = " and ".join(f"{number} {word}" for word, number in counted.items())
    return [
        f"Each method with something to tune got {trials} trials, its default values the first, judged by "
        f"{metrics} on validation {examples}{natural} that no training saw, with seeds that no row uses.",
        f"{ended} tuning trials{',' if len(counted) > 1 else ' and'} {counts} took {hours_text(hours)} device-hours.",
        *(["Where the title does not say tuned, every method ran at the values that its spec gives."] * plain),
    ]


def tables(lines: Sequence[TunedRow]) -> list[Table]:
    """The values used and what they cost, and the importance of each hyperparameter; none where nothing is tuned."""
    if not lines:
        return []
    columns = [name for name in HEADS if len({getattr(line, name) for line in lines}) > 1]
    head = (*(HEADS[name] for name in columns), "Method")
    names = [(*(shown_setting(getattr(line, name)) for name in columns), line.method) for line in lines]
    return [_values_table(lines, head, names), _importance_table(lines, head, names)]


def _counted(line: TunedRow) -> str:
    """What of its training is counted: an estimator has no epochs."""
    return "fits" if line.tuned.search.of_fits else "epochs"


def _values_table(lines: Sequence[TunedRow], head: tuple[str, ...], names: Sequence[tuple[str, ...]]) -> Table:
    counted = _either(map(_counted, lines))
    return Table(
        "Tuning",
        head=(*head, "Values used"),
        spans=(("Spent", ("Trials", counted.capitalize(), "Device-hours")), ("Validation", ("Defaults", "Winner"))),
        body=tuple((*name, *_outcome(line)) for name, line in zip(names, lines, strict=True)),
        footnotes=(),
        caption=(
            "The values of the winner, each with its default where it differs.",
            "Trials are all that ended, the defaults, pruned and failed ones among them; "
            f"{counted} and device-hours are theirs, without the networks that some methods start from.",
            f"Validation: {_either(line.tuned.search.tune.metric for line in lines)} in percent. The winner's is the "
            "best of all trials on the same images, so it flatters; the tables above do not use it.",
        ),
    )


def _importance_table(lines: Sequence[TunedRow], head: tuple[str, ...], names: Sequence[tuple[str, ...]]) -> Table:
    return Table(
        "Importance of each hyperparameter",
        head=(*head, "Hyperparameter", "Range"),
        spans=(("", ("Value used", "Importance")),),
        body=tuple((*name, *cells) for name, line in zip(names, lines, strict=True) for cells in _importance(line)),
        footnotes=(),
        caption=(
            "Importance: the share of each hyperparameter in what moved the validation metric, by Optuna's PED-ANOVA "
            "over every trial of the search that was judged; where some were stopped early, by what all had come to "
            "when the first of them were.",
            "With so few trials it is rough: it orders what mattered, and measures little.",
        ),
    )


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
    """What each number of trials finds, for each tuned row (see ``leaderboard.statistics.budget.curves``)."""
    ended = [
        line.names | {"value": c.value if c.state == "complete" else nan, "epochs": c.epochs}
        for line in lines
        for c in line.tuned.configurations
        if c.state != "running"
    ]
    return budget.curves(pd.DataFrame(ended, columns=pd.Index([*budget.LINE, "value", "epochs"])))


def _outcome(line: TunedRow) -> tuple[str, ...]:
    """The texts of one row of the table "Tuning", after its name."""
    defaults = line.tuned.configurations[0] if line.tuned.configurations else None
    values = _values(line, line.winner.values) if line.winner else line.tuned.unfinished_reason
    spent = str(line.tuned.ended), str(line.epochs), f"{line.seconds / 3600:.4g}"
    return values, *spent, _reached(defaults), _reached(line.winner)


def _importance(line: TunedRow) -> list[tuple[str, ...]]:
    """A row for each hyperparameter of a line, after its name."""
    shares, rows = line.tuned.importance, []
    unknown = f"n/a ({sum(c.value is not None for c in line.tuned.configurations)} judged trials)"
    for name, dimension in line.tuned.search.space.items():
        used = _number(line.winner.values[name]) if line.winner else "–"
        rows.append((name, str(dimension.range), used, f"{shares[name]:.4g}" if name in shares else unknown))
    return rows


def _values(line: TunedRow, used: Mapping[str, Value]) -> str:
    """Such as "step.rho=0.1234 (default 0.05), extra.lambda=0.5"."""
    words = []
    for name, dimension in line.tuned.search.space.items():
        default = "" if used[name] == dimension.default else f" (default {_number(dimension.default)})"
        words.append(f"{name}={_number(used[name])}{default}")
    return ", ".join(words)


def _reached(configuration: Configuration | None) -> str:
    """The metric of a trial in percent; what became of it where it did not finish."""
    if configuration is None:
        return "–"
    judged = configuration.state == "complete" and configuration.value is not None
    return f"{configuration.value:#.4g}" if judged else configuration.state


def _number(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _either(words: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(words))
