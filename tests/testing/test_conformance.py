"""The conformance kit: every registered method holds it, and each check catches the fault that it is there for."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import ClassVar

import numpy as np
import pytest

from tailboard.datasets.builtin import catalog
from tailboard.datasets.lock import TestSetLocked, guard, locked
from tailboard.harness.testing import conformance
from tailboard.harness.testing.conformance import verdicts
from tailboard.harness.testing.network_checks import CHECKS, ranges_contain_defaults
from tailboard.harness.training.scoring_process import scoring_process
from tailboard.methods.losses import Focal, cross_entropy
from tailboard.methods.optimizers.sharpness import SAM, climb, descend_from, gradient, trained
from tailboard.methods.part import ClassWeights, Part, hyper
from tailboard.methods.range import Range
from tailboard.methods.recipe import Entry, Recipe
from tailboard.methods.registry import registry

MANY = ("InstanceHardnessThreshold", "EasyEnsemble")  # they train many estimators
DEAR = {name: [pytest.mark.slow] for name, entry in registry().items() if entry.cost >= 2 or name in MANY}
BROKEN_BY_LIBRARY = {"KMeansSMOTE": ["takes a class of three rows"]}  # it finds no cluster with enough of them


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(name, marks=DEAR.get(name, [])) for name in registry()])
def test_every_registered_method_conforms(name, monkeypatch):
    monkeypatch.setattr(conformance, "CHECKS", CHECKS)  # tests/training/test_fused_seeds.py has that of fused seeds
    entry = registry()[name]
    ranges_contain_defaults(entry)
    if "extra.width" in entry.recipe.values():  # an expander of 2,048 costs minutes and shows no more
        entry = replace(entry, recipe=entry.recipe.tuned({"extra.width": 512}))
    failed = [verdict.check for verdict in verdicts(entry, with_cost=False) if verdict.outcome == "fail"]
    assert failed == BROKEN_BY_LIBRARY.get(name, [])


@pytest.fixture
def cost_alone(monkeypatch) -> None:
    """Of the checks only that of the cost: the others are tested of every method above."""
    monkeypatch.setattr(conformance, "CHECKS", ())


@pytest.mark.slow
@pytest.mark.usefixtures("cost_alone")
@pytest.mark.parametrize("name", ["ERM", "SAM-A", "Joint-SSL + SAM-A"])
def test_a_declared_cost_is_near_the_measured_one(name):
    (cost,) = verdicts(registry()[name])
    assert cost.check == "declared cost" and cost.outcome == "pass", cost.words


calls = count()


class Drifts(Part):
    """Another loss each time."""

    def build(self, scene):
        return lambda logits, y, epsilon: cross_entropy(logits, y, epsilon) * (1 + 1e-3 * next(calls))


class Averages(Part):
    """One loss for the batch instead of one a sample."""

    def build(self, scene):
        return lambda logits, y, epsilon: cross_entropy(logits, y, epsilon).mean()


class NeedsEveryClass(Part):
    """Fails where a class is not in the batch."""

    def build(self, scene):
        def loss(logits, y, epsilon):
            assert len(y.unique()) == scene.classes
            return cross_entropy(logits, y, epsilon)

        return loss


class Forgets(Part):
    """Counts steps where no checkpoint sees it."""

    def build(self, scene):
        steps = count()
        return lambda logits, y, epsilon: cross_entropy(logits, y, epsilon) * (1 + 0.01 * next(steps))


@dataclass(frozen=True)
class NotNeutral(Part):
    strength: float = hyper(0.5, "none")
    neutral = {"strength": 0.0}

    def build(self, scene):
        return lambda logits, y, epsilon: cross_entropy(logits, y, epsilon) * (1 + 1e-6 + self.strength)


@dataclass(frozen=True)
class OutOfRange(Part):
    strength: float = hyper(5.0, "none", Range(0.0, 1.0))

    def build(self, scene):
        return cross_entropy


class Peeks(Part):
    """Loads a data set to look at its test images."""

    def build(self, scene):
        catalog()["fashion-mnist-mini"].load(None, True)
        return cross_entropy


class Negative(Part):
    def build(self, scene):
        return lambda epoch: ClassWeights(-scene.tensor([1.0] * scene.classes))


class OnlyLargeTails(Part):
    def build(self, scene):
        assert scene.classes > 3
        return cross_entropy


class ActsLate(Part):
    """ERM's weights until a class is rare, and says nothing of it."""

    def build(self, scene):
        rare = scene.tensor([2.0 if n < 20 else 1.0 for n in scene.counts])
        return lambda epoch: ClassWeights(rare)


class NotesNothing(ActsLate):
    condition = "no class is rare"


@dataclass(frozen=True)
class NotesAlways(Part):
    """Says that it acted, also where its weights are even."""

    strength: float = hyper(1.0, "none")
    neutral = {"strength": 0.0}
    condition = "no class is rare"

    def build(self, scene):
        class Weighing:
            def __call__(self, epoch):
                return weights

            def notes(self):
                return {"acted": 1.0}

        weights = ClassWeights(scene.tensor([1 + self.strength * (n < 20) for n in scene.counts]))
        return Weighing()


def only(monkeypatch, check) -> None:
    """Of the checks one alone."""
    checks = [each for each in conformance.CHECKS if each.__name__ == check.replace(" ", "_")]
    monkeypatch.setattr(conformance, "CHECKS", checks)


@pytest.mark.parametrize(
    ("recipe", "check"),
    [
        (Recipe(weights=NotesAlways()), "says whether it acted"),
        (Recipe(weights=ActsLate()), "says whether it acted"),
        (Recipe(weights=NotesNothing()), "says whether it acted"),
        (Recipe(loss=Drifts()), "is deterministic"),
        (Recipe(loss=Averages()), "keeps shapes and devices"),
        (Recipe(loss=NeedsEveryClass()), "survives a batch without some class"),
        (Recipe(loss=Forgets()), "resumes"),
        (Recipe(loss=NotNeutral()), "neutral values are erm"),
        (Recipe(loss=OutOfRange()), "ranges contain defaults"),
        (Recipe(loss=Peeks()), "never asks for the test set"),
        (Recipe(weights=Negative()), "keeps shapes and devices"),
        (Recipe(loss=OnlyLargeTails()), "builds from counts alone"),
    ],
)
def test_each_check_catches_its_fault(recipe, check, monkeypatch):
    only(monkeypatch, check)
    (verdict,) = verdicts(Entry("planted", recipe, "", "", 1.0), with_cost=False)
    assert (verdict.check, verdict.outcome) == (check, "fail"), verdict.words


FUSED = "serves fused seeds as it declares"


class OneNorm(SAM):
    """It climbs by the norm of the gradients of all seeds."""

    fusable = True

    def build(self, scene):
        def step(objective, y, optimizer):
            loss = objective()
            g = gradient(loss, trained(optimizer))
            descend_from(climb(self.rho, g, g, loss.sum()), objective, optimizer, scene.model)
            return loss.detach()

        return step


class OneLoss(Part):
    """A step of one loss."""

    fusable = True

    def build(self, scene):
        def step(objective, y, optimizer):
            optimizer.zero_grad()
            loss = objective()
            loss.backward()
            optimizer.step()
            return loss

        return step


class Pulls(Part):
    """A loss whose gradient goes through the network's weights, of which those of fused seeds are copies."""

    fusable = True

    def build(self, scene):
        pulled = lambda: sum(weight.square().sum() for weight in scene.model.parameters())  # noqa: E731
        return lambda logits, y, epsilon: cross_entropy(logits, y, epsilon) + 0.01 * pulled()


class OneNote(Part):
    """What it notes is that of the last seed."""

    fusable = True
    noted: ClassVar[list[float]] = [0.0]

    def build(self, scene):
        class Loss:
            def __call__(self, logits, y, epsilon):
                OneNote.noted[0] = float(logits.detach().sum())
                return cross_entropy(logits, y, epsilon)

            def notes(self):
                return {"sum": OneNote.noted[0]}

        return Loss()


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (Recipe(step=OneNorm()), r"trained as one of 2, seed 0 has other weights and buffers than alone, by 0\.\d+"),
        (Recipe(step=OneLoss()), r"2 seeds cannot be trained as one \(RuntimeError: grad can be .* scalar outputs\)"),
        (Recipe(loss=Pulls()), "trained as one of 2, seed 0 has other weights and buffers than alone"),
        (Recipe(loss=OneNote()), "trained as one of 2, seed 0 has other notes 'loss.sum' than alone"),
    ],
)
def test_a_part_that_cannot_be_fused_and_says_that_it_can_is_told_what_differs(recipe, words, monkeypatch):
    only(monkeypatch, FUSED)
    (verdict,) = verdicts(Entry("planted", recipe, "", "", 1.0), with_cost=False)
    assert (verdict.check, verdict.outcome) == (FUSED, "fail") and re.search(words, verdict.words), verdict.words
    assert verdict.words.endswith("what declares fusable must keep the seeds apart (methods/part.py says how)")


class SaysNothing(OneLoss):
    """As it inherits the word, it declares nothing."""


def test_only_parts_that_declare_it_are_judged_by_how_they_serve_fused_seeds(monkeypatch):
    only(monkeypatch, FUSED)
    (silent,) = verdicts(Entry("planted", Recipe(step=SaysNothing()), "", "", 1.0), with_cost=False)
    assert (silent.outcome, silent.words) == ("skip", "no part declares fusable")
    (half,) = verdicts(Entry("planted", Recipe(step=SaysNothing(), loss=Focal()), "", "", 1.0), with_cost=False)
    assert half.outcome == "pass" and half.words.startswith("loss: Focal: two seeds as one are each as alone, within ")


@pytest.mark.slow
@pytest.mark.usefixtures("cost_alone")
def test_a_cost_that_is_not_so_is_caught():
    (cost,) = verdicts(Entry("planted", Recipe(), "", "", 6.0))
    assert cost.check == "declared cost" and cost.outcome == "fail"


def test_the_lock_refuses_loading_and_opening_and_opens_again(tmp_path):
    load, file = partial(catalog()["fashion-mnist-mini"].load, None, True), tmp_path / "labels"
    file.write_text("labels")
    guard([str(file)])
    with locked():
        for look in (load, file.read_text, lambda: np.fromfile(file), scoring_process().images):
            with pytest.raises(TestSetLocked):
                look()
        with locked():
            pass
        with pytest.raises(TestSetLocked):
            load()
    assert len(load().test) == 3000 and file.read_text() == "labels"


WRONG_NAME = """
from dataclasses import dataclass
from tailboard.methods.recipe import Part, Recipe, register

@dataclass(frozen=True)
class Wrong(Part):
    def build(self, scene):
        return scene.class_counts

register("Wrong", Recipe(loss=Wrong()))
"""


def test_a_wrong_name_is_told_once_with_its_line_and_what_a_scene_has(tmp_path, tailboard):
    (tmp_path / "mine.py").write_text(WRONG_NAME)
    code, out, err = tailboard("test", "mine.py")
    (line,) = [line for line in out.splitlines() if "AttributeError" in line]
    assert (code, err) == (3, "") and "mine.py, line 8: AttributeError: a Scene has no 'class_counts'; it has" in line
    assert "classes, counts" in line and out.count("the failure of 'builds from counts alone'") > 5
