"""Joint-SSL's loss is VICReg's, by its formula; labels do not reach it, and at lambda = infinity it is ERM."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tailboard.harness.training.objective import Objective
from tailboard.methods.part import MethodError
from tailboard.methods.recipe import Recipe
from tailboard.methods.registry import recipe
from tailboard.methods.stages.joint_ssl import JointSSL, covariance, invariance, variance

SMALL = {"width": 8}


def reference(one: np.ndarray, two: np.ndarray, form: str, weights: tuple[float, float, float]) -> float:
    """Written from main_vicreg.py:198-219 and from the equation after line 648 of the appendix."""
    size, width = one.shape
    alike, spread, apart = weights

    def terms(z: np.ndarray) -> tuple[float, float]:
        c = np.cov(z, rowvar=False).reshape(width, width)
        short = np.maximum(0, 1 - np.sqrt(np.diag(c) + 1e-4)).sum() / width
        return short, (c**2).sum() / width - (np.diag(c) ** 2).sum() / width

    if form == "official":
        (s1, c1), (s2, c2) = terms(one), terms(two)
        return alike * ((one - two) ** 2).mean() + spread * (s1 + s2) / 2 + apart * (c1 + c2)
    s, c = terms(np.concatenate([one, two]))
    return spread * s + apart * c + alike * ((one - two) ** 2).sum() / size


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1), size=st.integers(2, 9), width=st.integers(1, 12), scale=st.floats(1e-3, 30),
    form=st.sampled_from(["official", "appendix"]),
    weights=st.tuples(st.floats(0, 50), st.floats(0, 50), st.floats(0, 50)),
)  # fmt: skip
def test_the_loss_is_the_formula(seed, size, width, scale, form, weights):
    one, two = np.random.default_rng(seed).normal(scale=scale, size=(2, size, width))
    part = JointSSL(form=form, invariance=weights[0], variance=weights[1], covariance=weights[2])
    got = part.loss(torch.from_numpy(one), torch.from_numpy(two)).item()
    rounding = 1e-14 * scale**4 * (1 + sum(weights))  # of squared covariances, whose diagonal is taken off their sum
    assert got == pytest.approx(reference(one, two, form, weights), rel=1e-6, abs=1e-9 + rounding)


def whitened(size: int, width: int) -> torch.Tensor:
    """Centred embeddings whose covariance is the identity times 1 - 1e-4, which with epsilon has deviations of 1."""
    z = torch.randn(size, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    basis = torch.linalg.qr(z - z.mean(0)).Q
    return basis * math.sqrt((size - 1) * (1 - 1e-4))


@pytest.mark.parametrize("form", ["official", "appendix"])
def test_equal_whitened_views_cost_nothing(form):
    z = whitened(40, 7)
    if form == "appendix":  # its one covariance is of 2B rows
        z = z * math.sqrt((2 * 40 - 1) / (2 * 40 - 2))
    assert JointSSL(form=form).loss(z, z).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("form", ["official", "appendix"])
def test_constant_embeddings_cost_the_whole_deviation(form):
    z = torch.full((6, 5), 3.0, dtype=torch.float64)
    assert JointSSL(form=form).loss(z, z).item() == pytest.approx(25 * (1 - 0.01))


def test_each_term_alone():
    z = whitened(30, 4)
    assert invariance(z, z + 2).item() == pytest.approx(4)
    assert variance(z / 2).item() == pytest.approx(1 - math.sqrt((1 - 1e-4) / 4 + 1e-4))
    twin = torch.stack([z[:, 0], z[:, 0]], dim=1)  # a covariance matrix of four equal entries
    assert covariance(twin).item() == pytest.approx((1 - 1e-4) ** 2)


def test_large_and_shifted_embeddings_stay_exact_in_float32():
    one, two = np.random.default_rng(0).normal(size=(2, 128, 512)) + 100
    got = JointSSL().loss(torch.tensor(one, dtype=torch.float32), torch.tensor(two, dtype=torch.float32)).item()
    assert got == pytest.approx(reference(one, two, "official", (25, 25, 1)), rel=1e-4)


def test_a_single_image_is_refused(tiny):
    with pytest.raises(MethodError, match="at least 2"):
        next(tiny(Recipe(extra=JointSSL(**SMALL)), batch_size=1).epochs())


def test_infinite_lambda_is_erm(weights):
    erm, joint = weights(Recipe()), weights(Recipe(extra=JointSSL(lambda_=math.inf, **SMALL)))
    assert all(torch.equal(erm[name], joint[name]) for name in erm)


def test_a_finite_lambda_is_not_erm(weights):
    erm, joint = weights(Recipe()), weights(Recipe(extra=JointSSL(**SMALL)))
    assert not torch.equal(erm["features.0.weight"], joint["features.0.weight"])


def gradients(tiny, part: JointSSL, labels: torch.Tensor | None = None) -> tuple[float, list[torch.Tensor]]:
    """The loss of the first batch, under ``labels`` if given, and its gradient by the features' weights."""
    run = tiny(Recipe(extra=part), label_smoothing=0.0, cutmix=0.0)
    order, even = run._begin(0)
    chosen = order[0]
    if labels is not None:
        run.material.y[chosen] = labels
    batch, views = run._batch(chosen, 0)
    loss = Objective(run.model, run.loss, run.extra, run.epsilon, even, run._autocast, batch, views)()
    return loss.item(), list(torch.autograd.grad(loss, run.model.features.parameters()))


def test_labels_do_not_reach_the_unsupervised_gradient(tiny):
    def unsupervised(labels):
        (_, joint), (_, erm) = (gradients(tiny, JointSSL(lambda_=x, **SMALL), labels) for x in (2.0, math.inf))
        return [a - b for a, b in zip(joint, erm, strict=True)]

    as_they_are = unsupervised(None)
    permuted = unsupervised(torch.tensor([2, 1, 0] * 4))
    assert any(g.abs().max() > 1e-3 for g in as_they_are)
    for a, b in zip(as_they_are, permuted, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_the_literal_scaling_is_lambda_times_the_divided_one(tiny):
    divided, literal = (gradients(tiny, JointSSL(lambda_=7.0, scaling=s, **SMALL)) for s in ("divided", "literal"))
    assert literal[0] == pytest.approx(7 * divided[0], rel=1e-12)
    for a, b in zip(literal[1], divided[1], strict=True):
        torch.testing.assert_close(a, 7 * b, rtol=1e-9, atol=1e-12)


def test_a_literal_lambda_of_0_is_vicreg_alone(tiny):
    part = JointSSL(lambda_=0, scaling="literal", **SMALL)
    (loss, as_they_are), (_, permuted) = (
        gradients(tiny, part, labels) for labels in (None, torch.tensor([2, 1, 0] * 4))
    )
    assert loss > 0 and any(g.abs().max() > 1e-3 for g in as_they_are)
    assert all(torch.equal(a, b) for a, b in zip(as_they_are, permuted, strict=True))
    with pytest.raises(MethodError, match="lambda must be positive"):
        JointSSL(lambda_=0)


def forwards(run) -> list[tuple[torch.Tensor, bool]]:
    """The images of each pass through the features in the first step, and whether BatchNorm learnt from it."""
    seen = []
    norm = run.model.features[1]
    run.model.features.register_forward_pre_hook(lambda _, x: seen.append((x[0], norm.track_running_stats)))
    order, even = run._begin(0)
    run._advance(order[0], 0, even)
    return seen


def test_three_views_are_three_passes_of_which_one_moves_the_statistics(tiny):
    seen = forwards(tiny(Recipe(extra=JointSSL(**SMALL))))
    assert [learns for _, learns in seen] == [True, False, False]
    assert not torch.equal(seen[1][0], seen[2][0])


def test_two_views_are_two_passes_and_the_classifier_learns_on_the_first(tiny):
    three = forwards(tiny(Recipe(extra=JointSSL(**SMALL))))
    two = forwards(tiny(Recipe(extra=JointSSL(views=2, **SMALL)), cutmix=1.0))
    assert [learns for _, learns in two] == [True, False]
    assert torch.equal(two[0][0], three[1][0])
    assert torch.equal(two[1][0], three[2][0])


def test_two_views_leave_nothing_for_a_mixer(tiny):
    with pytest.raises(MethodError, match="use three views"):
        tiny(recipe("Mixup-DRW") | Recipe(extra=JointSSL(views=2)))


def test_the_name_of_the_weight_is_lambda():
    joint = recipe("Joint-SSL")
    assert joint.values()["extra.lambda"] == 25.0
    assert joint.tuned({"extra.lambda": 4.0}) == Recipe(extra=JointSSL(lambda_=4.0))
    assert 25.0 in joint.search()["extra.lambda"]
    with pytest.raises(MethodError, match=r"did you mean 'extra\.lambda'"):
        joint.tuned({"extra.lamda": 1.0})


def test_a_resumed_run_goes_on_bit_for_bit(same_after_resume):
    same_after_resume(Recipe(extra=JointSSL(**SMALL)), at=2)


def test_the_sums_of_table_5_are_sums():
    assert recipe("Joint-SSL + SAM-A") == recipe("Joint-SSL") | recipe("SAM-A")
    assert recipe("Joint-SSL + SAM-A + M2m") == recipe("Joint-SSL") | recipe("SAM-A") | recipe("M2m")
