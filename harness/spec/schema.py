"""The models of a spec and its trials: Spec, Data, Method, Experiment, Trial; and :func:`plan`, which lists the
trials that a spec stands for. How a file becomes a Spec is in ``parser.py``.

Nothing here imports torch: a plan is cheap.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import product
from math import prod
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationError, model_validator

from ...datasets.longtail import factor
from ...datasets.tables.columns import TABLES
from ...methods.ensemble_names import OWN, is_ensemble
from ...methods.need import Need
from ..errors import first_fault
from .canonical import CanonicalModel, omitted_at
from .fused_seeds import FusedSeeds, obstacle
from .resources import Resources, Tracking
from .shots import Shots
from .studies.figure_block import Figure
from .studies.tune_block import Searched as Searched  # noqa: PLC0414  (handed on)
from .studies.tune_block import Tune
from .training import AnyTraining, EstimatorTraining, NetworkEntry, Value, kind_of, name_of, values_of
from .training import Training as Training  # noqa: PLC0414  (handed on)
from .user_files.contents import AnyContents, TableContents

MOST_TRIALS = 2_000_000  # of a plan
LARGEST_SEED = 2**63 - 1  # what a column of whole numbers holds
Weights = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # the SHA-256 of a file that a network starts from
PROTOCOL = 2  # part of every key: raised when a change of ours changes the numbers of a trial


class Data(CanonicalModel, frozen=True):
    """A data set and the long tail that is cut from it. ``train_ratio`` (rarest / most frequent) is 1 / IF.

    ``contents`` are given for a user's own images or table, whose name is then no word of the key: the same files are
    the same data whatever their folder is called. With the profile ``natural`` they, and tables, keep their own
    distribution. With a ``total`` the profile says how it is shared among the classes, so that every factor has as many
    images; of tables the ``natural`` one too.
    ``majority`` and ``minority`` are the images of each class of either half, whichever is more; the minority is the
    last C // 2 classes. ``classes`` are those that are left of the data set, each by its name or that of a superclass.
    """

    later: ClassVar[frozenset[str]] = frozenset({"contents", "total", "classes", "majority", "minority"})

    name: str
    profile: Literal["exp", "step", "natural"] = "exp"
    imbalance_factor: float = Field(default=100.0, ge=1)
    head: int | None = Field(default=None, ge=1)  # images of the largest class; None is the data set's own
    contents: AnyContents | None = omitted_at(None)
    total: int | None = omitted_at(None, ge=2)
    classes: tuple[str, ...] | None = omitted_at(None, min_length=2)
    majority: int | None = omitted_at(None, ge=1)
    minority: int | None = omitted_at(None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _ratio(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping) or "train_ratio" not in raw:
            return raw
        if "imbalance_factor" in raw:
            raise ValueError("give imbalance_factor or train_ratio, not both")
        if not isinstance(raw["train_ratio"], (int, float)):
            raise ValueError(f"train_ratio must be a number, not {raw['train_ratio']!r}")
        rest = {name: value for name, value in raw.items() if name != "train_ratio"}
        return rest | {"imbalance_factor": factor(raw["train_ratio"])}

    @model_validator(mode="before")
    @classmethod
    def _halves(cls, raw: Any) -> Any:
        """The profile and the factor that two counts stand for."""
        words = ("majority", "minority")
        counts = {word: raw[word] for word in words if raw.get(word) is not None} if isinstance(raw, Mapping) else {}
        if len(counts) == 1:
            raise ValueError(f"{next(iter(counts))}: give majority and minority together, the images of each class")
        if not counts or not all(isinstance(n, int) and n > 0 for n in counts.values()):
            return raw
        step = {"profile": "step", "imbalance_factor": max(counts.values()) / min(counts.values())}
        cuts = (*step, "train_ratio", "head", "total")
        if refused := [word for word in cuts if raw.get(word) is not None and raw[word] != step.get(word)]:
            raise ValueError(f"majority and minority say how many images each class has: leave {refused[0]} out")
        return {**raw, **step}

    @model_validator(mode="after")
    def _natural(self) -> Data:
        """What is not cut has the factor that it has."""
        factor = self.contents.factor if self.contents else Data.model_fields["imbalance_factor"].default
        natural = self.profile == "natural"
        if natural and not self.contents and not self.is_table:
            raise ValueError(f"profile: natural is for images of your own; for {self.name}, say imbalance_factor: 1")
        if natural and (self.head or (self.total and not self.is_table) or self.imbalance_factor != factor):
            raise ValueError("profile: natural cuts nothing: leave imbalance_factor, train_ratio, head and total out")
        if natural and self.classes and self.contents:
            raise ValueError("profile: natural keeps every class; with classes, give a profile and a factor or ratio")
        if self.head and self.total:
            raise ValueError("give head (of the largest class) or total (of all classes), not both")
        return self

    @property
    def title(self) -> str:
        """What tables call it: its name, with its classes where they are chosen."""
        return f"{self.name} ({', '.join(self.classes)})" if self.classes else self.name

    @property
    def is_table(self) -> bool:
        """Whether it is rows of a table."""
        return isinstance(self.contents, TableContents) if self.contents else self.name in TABLES

    @property
    def unsaid(self) -> frozenset[str]:
        """Of a user's own data the name, and of their natural tail the words that would cut it."""
        own = {"name"} if self.contents else set[str]()
        return super().unsaid | own | ({"imbalance_factor", "head"} if self.profile == "natural" else set())


class Method(CanonicalModel, frozen=True):
    """A method by name and the values that differ from its defaults; ``plugin`` is the file that registers it.

    In a trial, ``plugin`` is the SHA-256 of that file, so that an edited method is another method.
    """

    name: str
    values: dict[str, Value] = {}
    plugin: str | None = None


class MethodEntry(Method, frozen=True):
    """A method as a spec names it, with what differs in its training routine, such as a learning rate of its own. The
    seeds of ``fused`` are trained as one: those of the spec, where it asks for that and the method can."""

    training: dict[str, Any] = {}
    fused: FusedSeeds | None = omitted_at(None)

    @property
    def unsaid(self) -> frozenset[str]:
        """How seeds are trained is no word of the method: it is one of its trials."""
        return super().unsaid | {"fused"}

    @cached_property
    def method(self) -> Method:
        """The entry's method, as a trial holds it."""
        return Method(name=self.name, values=self.values, plugin=self.plugin)


class Pretraining(CanonicalModel, frozen=True):
    """The trial, of the same network and seed on data of its own, whose features a network starts from."""

    data: Data
    method: Method
    training: Training

    @model_validator(mode="after")
    def _ours(self) -> Pretraining:
        if self.method.plugin:
            raise ValueError("method: one that is registered here is expected, not one of a plugin")
        return self


class Trial(CanonicalModel, frozen=True):
    """One training run. Same key, same numbers.

    In the stage ``tune`` it is scored on ``val_per_class`` validation images of each class, never on test images; of a
    ``natural`` validation the largest class has so many, and the others in proportion to their training images.
    ``base`` is the routine of the trials that it starts from, where its own differs from it. An ``independent`` trial
    has the seed's images, and another initialisation and order than every other trial of the seed. ``network_values``
    are what differs from the defaults of its network, or of the estimator of that name. ``fused`` are all the seeds
    with which its own is trained as one.
    """

    later: ClassVar[frozenset[str]] = frozenset({"base", "independent", "network_values", "weights", "val", "fused"})

    data: Data
    method: Method
    network: str
    training: AnyTraining
    seed: int = Field(ge=0, le=LARGEST_SEED)
    stage: Literal["report", "tune"] = "report"
    val_per_class: int = 0
    threads: int = Field(default=1, ge=1)
    protocol: int = PROTOCOL
    base: AnyTraining | None = None
    independent: Literal[True] | None = omitted_at(None)
    network_values: dict[str, Value] | None = omitted_at(None)
    val: Literal["natural"] | None = omitted_at(None)
    weights: Weights | Pretraining | None = omitted_at(None)
    fused: FusedSeeds | None = omitted_at(None)

    @cached_property
    def key(self) -> str:
        """The hash of the trial's canonical text: trials of one key have the same numbers."""
        return _hashed(self.canonical)

    @property
    def row_text(self) -> str:
        """The canonical text of all that the trials of one row share: neither the seed nor the protocol's number."""
        before, _, after = self.canonical.rpartition(f'"protocol":{self.protocol},"seed":{self.seed},"stage":')
        return f'{before}"stage":{after}'

    @property
    def row_key(self) -> str:
        """A hash of :attr:`row_text`."""
        return _hashed(self.row_text)

    def texts(self, seeds: Iterable[int]) -> list[str]:
        """The canonical texts of the trials that differ from this one by their seeds only."""
        before, _, after = self.canonical.rpartition(f'"seed":{self.seed},"stage":')  # no free text follows a seed
        return [f'{before}"seed":{seed},"stage":{after}' for seed in seeds]

    def keys(self, seeds: Iterable[int]) -> list[str]:
        """The keys of the trials that differ from this one by their seeds only; those are not made for it."""
        return [_hashed(text) for text in self.texts(seeds)]


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]


class Spec(CanonicalModel, frozen=True):
    """What to compare. Lists inside ``data``, ``methods``, ``network`` and ``training`` have become axes.

    ``protocol`` is the one under which its trials are trained; a stored plan that does not say is of the first.
    ``weights`` are those that each of ``networks`` starts from, where any does.
    """

    later: ClassVar[frozenset[str]] = frozenset({"protocol", "weights", "figure"})

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    data: tuple[Data, ...] = Field(min_length=1)
    methods: tuple[MethodEntry, ...] = Field(min_length=1)
    networks: tuple[str | NetworkEntry, ...] = Field(min_length=1)
    trainings: tuple[AnyTraining, ...] = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0, le=LARGEST_SEED)], ...] = Field(min_length=1)
    resources: Resources = Resources()
    tracking: Tracking = Tracking()
    shots: Shots = Shots()
    tune: Tune | None = None
    plugins: dict[str, str] = {}  # source text of each plugin file by its SHA-256
    protocol: int = omitted_at(1, ge=1)
    weights: tuple[Weights | Pretraining | None, ...] | None = omitted_at(None)
    figure: Figure | None = omitted_at(None)

    @model_validator(mode="after")
    def _bounded(self) -> Spec:
        """A few words, in a stranger's store, may stand for more trials than any memory holds; and a report could not
        tell the two trials of a seed that stands twice from two plans'."""
        if twice := [seed for seed, times in Counter(self.seeds).items() if times > 1]:
            raise ValueError(f"seeds: {twice[0]} stands twice; name each seed once")
        if any(method.fused not in (None, tuple(sorted(self.seeds))) for method in self.methods):
            raise ValueError("methods: the seeds that are fused are those of the spec")
        if self.weights and len(self.weights) != len(self.networks):
            raise ValueError("weights: one for each network, or null, is expected")
        routines = Counter(training.learner for training in self.trainings)
        if alone := [network for network in self.networks if not routines[kind_of(network)]]:
            raise ValueError(f"training: no routine is for {name_of(alone[0])}")
        if (trials := axes(self)) > MOST_TRIALS:
            raise ValueError(f"{trials:,} trials are more than the {MOST_TRIALS:,} that a plan may hold")
        return self

    @model_validator(mode="after")
    def _routines(self) -> Spec:
        """What methods and the search change of the routines are words and values of a routine."""
        changes = {f"methods.{method.name}.training": method.training for method in self.methods if method.training}
        if self.tune:
            self.tune.check_generations(training.learner for training in self.trainings)
            changes |= {"tune.training": self.tune.training} if self.tune.training else {}
        for (field, words), training in product(changes.items(), self.trainings):
            try:
                training.changed(words)
            except ValidationError as error:
                raise ValueError(first_fault(error, field)) from None
        return self


class Experiment(CanonicalModel, frozen=True):
    """One method in one setting: a row of the leaderboard, and what is tuned as one."""

    later: ClassVar[frozenset[str]] = frozenset({"protocol", "network_values", "weights"})

    data: Data
    network: str
    training: AnyTraining
    entrant: MethodEntry
    threads: int
    protocol: int = omitted_at(1)
    network_values: dict[str, Value] | None = omitted_at(None)
    weights: Weights | Pretraining | None = omitted_at(None)

    def trial(self, seed: int, values: Mapping[str, Value] | None = None, **words: Any) -> Trial:
        """Its trial of a seed, with other ``values`` (of the routine as ``training.lr``, of the network as
        ``network.max_depth``) and words."""
        given = {"training": {}, "network": {}, "": {}}
        for name, value in (values or {}).items():
            slot, _, bare = name.partition(".")
            slot, word = (slot, bare) if slot in ("training", "network") else ("", name)
            given[slot][word] = value
        of_method, network = given[""], (self.network_values or {}) | given["network"]
        method, routine = self.entrant.method, self.entrant.training | given["training"]
        base = words.pop("base", self.training)
        training = base.changed(routine) if routine else base
        return Trial(
            data=self.data,
            method=method.model_copy(update={"values": method.values | of_method}) if of_method else method,
            network=self.network,
            network_values=network or None,
            weights=self.weights,
            training=training,
            seed=seed,
            threads=self.threads,
            protocol=self.protocol,
            base=None if training == base else base,
            fused=None if words.get("stage") == "tune" or obstacle(self.network, training) else self.entrant.fused,
            **words,
        )


def axes(spec: Spec) -> int:
    """How many trials its axes stand for."""
    routines = Counter(training.learner for training in spec.trainings)
    networks = sum(routines[kind_of(network)] for network in spec.networks)
    return networks * prod(map(len, (spec.data, spec.methods, spec.seeds)))


Routine = tuple[str | NetworkEntry, Weights | Pretraining | None, AnyTraining]  # a network, its start, its training


def routines_of(spec: Spec) -> list[Routine]:
    """Each network of the spec with each training that is for it."""
    networks = zip(spec.networks, spec.weights or [None] * len(spec.networks), strict=True)
    return [(n, w, t) for (n, w), t in product(networks, spec.trainings) if t.learner == kind_of(n)]


def combined(spec: Spec, axes: tuple[Routine, Data, MethodEntry]) -> Experiment:
    """The row of these in the spec."""
    (network, weights, training), data, method = axes
    own = {"network": name_of(network), "network_values": values_of(network), "weights": weights, "training": training}
    threads = max(1, int(spec.resources.cpu))
    return Experiment(data=data, entrant=method, threads=threads, protocol=spec.protocol, **own)


def experiments(spec: Spec) -> list[Experiment]:
    """Every row of the spec, in the spec's order."""
    rows = [combined(spec, each) for each in product(routines_of(spec), spec.data, spec.methods)]
    if not any(is_ensemble(method.name) for method in spec.methods):
        return rows
    # An ensemble has one row, whatever estimators and networks are named.
    own = {"network": OWN, "network_values": None, "weights": None, "training": EstimatorTraining(kind="estimator")}
    alone = [row.training.learner != "images" and is_ensemble(row.entrant.name) for row in rows]
    rows = [row.model_copy(update=own) if at else row for row, at in zip(rows, alone, strict=True)]
    return list({row.canonical: row for row in rows}.values())


def plan(spec: Spec) -> list[Trial]:
    """Every trial that is reported, at the values that the spec gives, seeds innermost; each once.

    Where the spec asks for tuning, the values found replace these (see ``tuning/search.py``).
    """
    trials = [cell.trial(seed) for cell in experiments(spec) for seed in spec.seeds]
    return list({trial.key: trial for trial in trials}.values())


def prerequisite(trial: Trial, need: Need) -> Trial:
    """The trial of another method with the same data, network and seed, at that method's own values.

    Its routine is the one that both share, whatever learning rate was found for the first. Under the first protocol
    none was independent.
    """
    own = {"method": Method(name=need.method), "training": trial.base or trial.training, "base": None, "fused": None}
    return trial.model_copy(update=own | {"independent": True if need.independent and trial.protocol > 1 else None})


def pretraining(trial: Trial) -> Trial | None:
    """The trial whose features the network of another starts from; None where it starts from a file, or from nothing.
    It is trained to its end and scored as any is, whatever stage the other is of."""
    start = trial.weights
    if not isinstance(start, Pretraining):
        return None
    return Trial(
        data=start.data,
        method=start.method,
        network=trial.network,
        training=start.training,
        seed=trial.seed,
        threads=trial.threads,
        protocol=trial.protocol,
    )


def prerequisites(trial: Trial, needs: Iterable[Need]) -> list[Trial]:
    """The trials whose networks a trial starts from: those that its method needs, and its own pretraining."""
    return [*(prerequisite(trial, need) for need in needs), *filter(None, [pretraining(trial)])]
