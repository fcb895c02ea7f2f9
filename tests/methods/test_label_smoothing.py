"""Class-conditional label smoothing: each reading of the paper's appendix A.7, and its sums with other methods."""

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tailboard.methods.losses import cross_entropy
from tailboard.methods.losses.smoothing import Kind, Smoothing, class_epsilons
from tailboard.methods.optimizers.sharpness import SAMA
from tailboard.methods.part import MethodError, Scene
from tailboard.methods.registry import recipe

KINDS = get_args(Kind)
CIFAR10 = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
CIFAR100 = [int(500 * 100 ** (-c / 99)) for c in range(100)]
COUNTS = st.lists(st.integers(1, 5000), min_size=1, max_size=8)


def epsilons_by_formula(counts, kind, epsilon, cap):
    """NumPy, straight from appendix A.7 as the dossier reads it."""
    n = np.array(counts, dtype=float)
    p = n / n.sum()
    with np.errstate(divide="ignore"):
        raw = {
            "uniform": np.full(len(n), epsilon),
            "inverse": epsilon * (1 / p) / (1 / p).mean(),
            "one_minus": epsilon * (1 - p),
            "eq6_literal": epsilon / (1 - p),
            "mislas": epsilon + (cap - epsilon) * np.sin(np.pi / 2 * (n - n.min()) / max(n.max() - n.min(), 1)),
        }[kind]
    return np.minimum(raw, cap)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=50)
@given(counts=COUNTS, epsilon=st.floats(0.01, 0.3), cap=st.sampled_from([0.3, 0.4, 0.5]))
def test_agrees_with_its_formula_and_never_passes_the_cap(kind, counts, epsilon, cap):
    ours = class_epsilons(counts, kind, epsilon, cap)
    np.testing.assert_allclose(ours, epsilons_by_formula(counts, kind, epsilon, cap), atol=1e-6)
    assert all(0 <= e <= cap for e in ours)


@pytest.mark.parametrize("kind", KINDS)
def test_targets_are_distributions(kind):
    """q sums to 1 and is nowhere negative: read off the gradient of the loss, which is softmax - q."""
    counts = [1000, 10, 1]
    epsilon = torch.tensor(class_epsilons(counts, kind, 0.3, 0.4), dtype=torch.float64)
    logits = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    cross_entropy(logits, torch.arange(3), epsilon).sum().backward()
    q = (logits.softmax(dim=1) - logits.grad).detach()
    torch.testing.assert_close(q.sum(dim=1), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(q.diagonal(), 1 - epsilon + epsilon / 3)
    assert (q >= -1e-12).all()


@pytest.mark.parametrize("kind", ["uniform", "inverse", "mislas"])
def test_equal_counts_are_uniform_smoothing(kind):
    assert class_epsilons([70] * 6, kind, 0.1, 0.4) == pytest.approx([0.1] * 6)


@pytest.mark.parametrize(
    ("kind", "rarer"), [("inverse", "more"), ("one_minus", "more"), ("eq6_literal", "less"), ("mislas", "less")]
)
def test_direction(kind, rarer):
    """The prose smooths rare classes more; eq. 6 as printed, and MiSLAS, smooth them less."""
    steps = np.diff(class_epsilons(CIFAR10, kind, 0.01, 0.4))  # counts fall along the list
    assert (steps > 0).all() if rarer == "more" else (steps < 0).all()


@pytest.mark.parametrize(("counts", "tail", "head"), [(CIFAR10, 4.02, 0.04), (CIFAR100, 4.38, 0.04)])
def test_factors_at_an_imbalance_of_100(counts, tail, head):
    """The dossier's numbers: the rarest class gets 4.02 (CIFAR-10) and 4.38 (CIFAR-100) times epsilon."""
    factors = np.array(class_epsilons(counts, "inverse", 0.01, 1.0)) / 0.01
    assert [round(factors[-1], 2), round(factors[0], 2)] == [tail, head]


def test_mislas_runs_from_the_rarest_to_the_most_frequent():
    epsilons = class_epsilons(CIFAR10, "mislas", 0.1, 0.4)
    assert [epsilons[-1], epsilons[0]] == pytest.approx([0.1, 0.4])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("counts", [[9], [1, 1]])
def test_degenerate_counts(kind, counts):
    assert np.isfinite(class_epsilons(counts, kind, 0.1, 0.4)).all()


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"kind": "inverted"}, "kind must be one of uniform"),
        ({"epsilon": -0.1}, "epsilon <= cap"),
        ({"epsilon": 0.5}, "epsilon <= cap"),
        ({"cap": 1.5}, "epsilon <= cap"),
    ],
)
def test_wrong_values_are_refused(values, rule):
    with pytest.raises(MethodError, match=rule):
        Smoothing(**values)


def test_it_is_built_from_the_counts_of_the_training_images():
    cpu, nothing = torch.device("cpu"), torch.nn.Identity()
    scene = Scene(tuple(CIFAR10), 1, nothing, cpu, lambda _: torch.Generator(), lambda _: nothing)
    scene.frequencies = (1.0,) * 10  # a balanced sampler does not change the data set's shares
    torch.testing.assert_close(Smoothing().build(scene), torch.tensor(class_epsilons(CIFAR10, "inverse", 0.1, 0.4)))


def test_it_adds_to_any_method():
    assert recipe("ERM + class-conditional smoothing").parts() == {"smoothing": Smoothing()}
    assert recipe("SAM-A + class-conditional smoothing").parts() == {"smoothing": Smoothing(), "step": SAMA()}
