"""Every loss, weighting and adjustment agrees with a NumPy reference that is written straight from its formula.

Random inputs include one class, batches without some class, and batches of one sample. Statistical tests have a fixed
seed, so they pass always or never; their level is 0.001.
"""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from tailboard.harness.training.objective import Objective
from tailboard.harness.training.schedule import ExponentialMovingAverage
from tailboard.methods.losses import LDAM, Cosine, CosineHead, Focal, cross_entropy
from tailboard.methods.losses.logit_adjustment import AdjustedLoss, LogitAdjustment, TauNormalisation
from tailboard.methods.part import ClassWeights, MethodError, Mixed, Scene
from tailboard.methods.registry import recipe
from tailboard.methods.sampling.balance import DeferredReweighting, Resampling, Reweighting, class_weights, shuffled

pytestmark = pytest.mark.usefixtures("double_precision")

CIFAR10 = (5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50)  # imbalance factor 100
SCALE = 30.0
COUNTS = st.lists(st.integers(1, 5000), min_size=1, max_size=6).map(tuple)
SEEDS = st.integers(0, 2**32 - 1)
random_inputs = settings(max_examples=50)


def scene(counts, head=None, epochs=10):
    generator = torch.Generator().manual_seed(0)
    model = SimpleNamespace(head=head or nn.Identity(), width=3)
    return Scene(tuple(counts), epochs, model, torch.device("cpu"), lambda _: generator, lambda _: model)


def objective(batch, loss, weights, epsilon):
    """The loop's objective of a network that is the identity: the batch holds logits."""
    identity = SimpleNamespace(features=lambda x: x, head=lambda x: x)
    return Objective(identity, loss, None, epsilon, weights, nullcontext, batch)


class Drawn:
    """Random logits (B, C), labels (B,) and epsilons (B,) as NumPy arrays, and the same as tensors."""

    def __init__(self, counts, batch, seed):
        rng = np.random.default_rng(seed)
        self.counts = np.array(counts, dtype=float)
        self.z = rng.normal(0, 4, (batch, len(counts)))
        self.y = rng.integers(len(counts), size=batch)
        self.epsilon = rng.uniform(0, 0.4, batch)

    def tensors(self):
        return torch.tensor(self.z), torch.tensor(self.y), torch.tensor(self.epsilon)

    def log_p(self, z=None):
        z = self.z if z is None else z
        return z - np.log(np.exp(z).sum(axis=1, keepdims=True))

    def smoothed(self, z=None):
        """-sum_j q_j log p_j with q = (1 - epsilon) 1[y] + epsilon / C."""
        classes = self.z.shape[1]
        q = (1 - self.epsilon[:, None]) * np.eye(classes)[self.y] + self.epsilon[:, None] / classes
        return -(q * self.log_p(z)).sum(axis=1)

    def margins(self, largest):
        raw = self.counts**-0.25
        return largest * raw / raw.max()


def focal(d):
    p = np.exp(d.log_p())[np.arange(len(d.y)), d.y]
    return (1 - p) ** 1.7 * d.smoothed()


def ldam(d):
    """CE of s (cos - Delta_y 1[y]); the logits drawn stand for s cos."""
    return d.smoothed(d.z - SCALE * d.margins(0.4)[d.y][:, None] * np.eye(len(d.counts))[d.y])


def adjusted(d):
    return d.smoothed(d.z + 1.3 * np.log(d.counts / d.counts.sum()))


def balanced_softmax(d):
    """Ren et al.'s form: n_j exp(z_j) in the softmax, without a logarithm of shares."""
    weighted = d.counts * np.exp(d.z)
    log_p = np.log(weighted / weighted.sum(axis=1, keepdims=True))
    hard = log_p[np.arange(len(d.y)), d.y]
    return -(1 - d.epsilon) * hard - d.epsilon * log_p.mean(axis=1)


LOSSES = {
    "cross-entropy": (lambda _: cross_entropy, Drawn.smoothed),
    "focal": (Focal(gamma=1.7).build, focal),
    "LDAM": (LDAM(max_margin=0.4).build, ldam),
    "logit-adjusted": (AdjustedLoss(tau=1.3).build, adjusted),
    "balanced softmax": (AdjustedLoss().build, balanced_softmax),
}


@pytest.mark.parametrize("name", LOSSES)
@random_inputs
@given(counts=COUNTS, batch=st.integers(1, 7), seed=SEEDS)
@example(counts=(5,), batch=1, seed=0)
@example(counts=(500, 50, 5, 1), batch=1, seed=0)
def test_losses(name, counts, batch, seed):
    build, formula = LOSSES[name]
    drawn = Drawn(counts, batch, seed)
    loss = build(scene(counts, head=SimpleNamespace(scale=SCALE)))(*drawn.tensors())
    assert loss.shape == (batch,)
    np.testing.assert_allclose(loss.numpy(), formula(drawn), atol=1e-6, rtol=1e-6)


def raw_weights(n, scheme, beta):
    return {
        "inverse": 1 / n,
        "square_root": 1 / np.sqrt(n),
        "class_balanced": 1 / sum(beta**k for k in range(int(n))),  # E_n = 1 + beta + ... + beta^(n-1), Cui et al.
    }[scheme]


@random_inputs
@given(
    counts=COUNTS,
    scheme=st.sampled_from(["inverse", "square_root", "class_balanced"]),
    beta=st.sampled_from([0.0, 0.9, 0.999, 0.9999]),
    power=st.floats(0, 1),
)
@example(counts=(7,), scheme="inverse", beta=0.0, power=1.0)
def test_class_weights(counts, scheme, beta, power):
    raw = np.array([raw_weights(n, scheme, beta) for n in counts]) ** power
    ours = class_weights(counts, scheme, beta, power)
    np.testing.assert_allclose(ours, len(counts) * raw / raw.sum(), rtol=1e-6)
    assert sum(ours) == pytest.approx(len(counts))


def test_class_balanced_weights_run_from_none_to_inverse():
    assert class_weights(CIFAR10, "class_balanced", beta=0.0) == [1.0] * 10
    assert class_weights(CIFAR10, "class_balanced", beta=1 - 1e-9) == pytest.approx(
        class_weights(CIFAR10, "inverse"), rel=1e-4
    )


@pytest.mark.parametrize("divide_by", ["weights", "samples"])
@pytest.mark.parametrize("share", [1.0, 0.3])
@random_inputs
@given(counts=COUNTS, batch=st.integers(1, 6), seed=SEEDS)
@example(counts=(3,), batch=1, seed=0)
def test_a_mixed_batch_is_two_targets_with_a_weight_margin_and_epsilon_each(divide_by, share, counts, batch, seed):
    """sum_i [s w_y l(z, y) + (1 - s) w_o l(z, o)] / sum_i [s w_y + (1 - s) w_o], or over the number of samples."""
    drawn, partner = Drawn(counts, batch, seed), Drawn(counts, batch, seed)
    partner.y = np.random.default_rng(seed + 1).integers(len(counts), size=batch)
    epsilon, weight = np.linspace(0.05, 0.4, len(counts)), np.linspace(3.0, 0.2, len(counts))
    drawn.epsilon, partner.epsilon = epsilon[drawn.y], epsilon[partner.y]
    above = share * weight[drawn.y] * ldam(drawn) + (1 - share) * weight[partner.y] * ldam(partner)
    below = share * weight[drawn.y] + (1 - share) * weight[partner.y] if divide_by == "weights" else np.ones(batch)

    z, y, _ = drawn.tensors()
    margins = LDAM(max_margin=0.4).build(scene(counts, head=SimpleNamespace(scale=SCALE)))
    weighing = ClassWeights(torch.tensor(weight), divide_by)
    ours = objective(Mixed(z, y, torch.tensor(partner.y), share), margins, weighing, torch.tensor(epsilon))
    assert ours().item() == pytest.approx(above.sum() / below.sum(), rel=1e-6)
    halved = ClassWeights(torch.full((len(counts),), 0.5), "samples")
    plain, emphasised = ours.each(None, halved)
    assert plain.item() == ours().item()
    assert emphasised.item() == pytest.approx(ours().item() / 2)


def test_scale_of_the_weights_leaves_the_weighted_mean_alone():
    z, y, _ = Drawn(CIFAR10, 9, 0).tensors()
    weights = torch.tensor(class_weights(CIFAR10, "inverse"))

    def loss(scale, divide_by):
        weighing = ClassWeights(scale * weights, divide_by)
        return objective(Mixed(z, y, y), cross_entropy, weighing, torch.zeros(10))().item()

    assert loss(7.0, "weights") == pytest.approx(loss(1.0, "weights"), rel=1e-12)
    assert loss(7.0, "samples") == pytest.approx(7 * loss(1.0, "samples"), rel=1e-12)
    assert loss(1.0, "weights") == pytest.approx(nn.functional.cross_entropy(z, y, weights).item(), rel=1e-12)


def test_erm_is_torch_s_cross_entropy_with_label_smoothing():
    z, y, _ = Drawn(CIFAR10, 9, 0).tensors()
    ours = cross_entropy(z, y, torch.full((9,), 0.1)).mean()
    torch.testing.assert_close(ours, nn.functional.cross_entropy(z, y, label_smoothing=0.1))


def test_focal_at_gamma_0_is_cross_entropy_and_its_gradient_ends_where_p_is_1():
    z, y, epsilon = Drawn(CIFAR10, 9, 0).tensors()
    assert torch.equal(Focal(gamma=0.0).build(scene(CIFAR10))(z, y, epsilon), cross_entropy(z, y, epsilon))
    steepness = []
    for gap in (0.0, 5.0, 50.0):  # the last has p = 1 in float64
        z = torch.tensor([[gap, 0.0]], requires_grad=True)
        Focal(gamma=0.5).build(scene((9, 1)))(z, torch.tensor([0]), torch.zeros(1)).sum().backward()
        steepness.append(z.grad.abs().max().item())
    assert steepness[0] > steepness[1] > steepness[2]
    assert steepness[2] < 1e-12


def test_ldam_s_margins():
    """Delta_c is proportional to n_c^(-1/4), at most max_margin, and 0.1581 for the head at an imbalance of 100."""
    margins = LDAM().margins(scene(CIFAR10)).numpy()
    products = margins * np.array(CIFAR10) ** 0.25
    np.testing.assert_allclose(products, products[0])
    assert margins.max() == 0.5
    assert round(margins[0], 4) == 0.1581


def test_ldam_without_margins_is_cross_entropy_of_scaled_cosines():
    head = Cosine(3, 4, SCALE)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    y, epsilon = torch.tensor([0, 1, 2, 3, 3]), torch.zeros(5)
    w = head.weight.detach()
    cosines = (x @ w.T) / (x.norm(dim=1)[:, None] * w.norm(dim=1))
    torch.testing.assert_close(head(x).detach(), SCALE * cosines)
    loss = LDAM(max_margin=0.0).build(scene((9, 5, 2, 1), head=head))
    assert torch.equal(loss(head(x), y, epsilon), cross_entropy(head(x), y, epsilon))


def test_deferred_reweighting_weighs_nothing_before_its_start():
    weights = DeferredReweighting(start=0.8).build(scene(CIFAR10, epochs=10))
    assert all(torch.equal(weights(epoch).values, torch.ones(10)) for epoch in range(8))
    later = torch.tensor(class_weights(CIFAR10, "class_balanced", 0.9999))
    assert all(torch.equal(weights(epoch).values, later) for epoch in (8, 9))
    assert torch.equal(Reweighting().build(scene(CIFAR10))(0).values, later)


@pytest.mark.parametrize("q", [0.0, 0.5, 1.0])
def test_resampling_draws_classes_as_it_says(q):
    counts = (4000, 400, 40)
    labels = torch.arange(3).repeat_interleave(torch.tensor(counts))
    sampler = Resampling(q=q).build(scene(counts))
    seen = torch.bincount(labels[sampler(labels, 0)], minlength=3).numpy()
    expected = np.array(counts) ** q / (np.array(counts) ** q).sum()
    assert seen.sum() == len(labels)
    assert stats.chisquare(seen, expected * len(labels)).pvalue > 0.001
    np.testing.assert_allclose(np.array(sampler.frequencies(0)) / sum(sampler.frequencies(0)), expected)


def test_before_its_start_resampling_is_erm_s_order():
    labels = torch.arange(3).repeat_interleave(torch.tensor([40, 9, 3]))
    sampler = Resampling(start=0.5).build(scene((40, 9, 3), epochs=10))
    assert torch.equal(sampler(labels, 4), shuffled(labels, torch.Generator().manual_seed(0)))
    assert sampler.frequencies(4) == (40, 9, 3)
    assert len(set(sampler.frequencies(5))) == 1


@random_inputs
@given(counts=COUNTS, seed=SEEDS, tau=st.floats(0, 2))
@example(counts=(5,), seed=0, tau=1.0)
def test_post_hoc_logit_adjustment(counts, seed, tau):
    drawn = Drawn(counts, 4, seed)
    ours = LogitAdjustment(tau=tau).build(scene(counts))(torch.tensor(drawn.z))
    np.testing.assert_allclose(ours.numpy(), drawn.z - tau * np.log(drawn.counts / drawn.counts.sum()), atol=1e-6)


def test_the_adjusted_loss_and_the_adjusted_logits_undo_each_other():
    z, y, epsilon = Drawn(CIFAR10, 9, 0).tensors()
    undone = AdjustedLoss(tau=1.5).build(scene(CIFAR10))(LogitAdjustment(tau=1.5).build(scene(CIFAR10))(z), y, epsilon)
    torch.testing.assert_close(undone, cross_entropy(z, y, epsilon))


@random_inputs
@given(seed=SEEDS, tau=st.floats(0, 2))
def test_tau_normalisation(seed, tau):
    rng = np.random.default_rng(seed)
    w, b, features = rng.normal(size=(4, 3)), rng.normal(size=4), rng.normal(size=(6, 3))
    head = nn.Linear(3, 4)
    finish = TauNormalisation(tau=tau).build(scene((9, 5, 2, 1), head=head))
    with torch.no_grad():  # after build: the weights that count are those at the time of scoring
        head.weight.copy_(torch.tensor(w))
        head.bias.copy_(torch.tensor(b))
        ours = finish(head(torch.tensor(features)))
    expected = features @ (w / np.linalg.norm(w, axis=1, keepdims=True) ** tau).T + b
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("tau", [1.0, 2.0])
def test_tau_normalisation_of_a_head_without_a_bias_and_of_a_class_that_learnt_nothing(tau):
    head = nn.Linear(3, 2, bias=False)
    finish = TauNormalisation(tau=tau).build(scene((9, 1), head=head))
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[3.0, 0.0, 4.0], [0.0, 0.0, 0.0]]))
        found = finish(head(torch.tensor([[1.0, 2.0, 3.0]])))
    np.testing.assert_allclose(found.numpy(), [[15 / 5**tau, 0.0]], atol=1e-6)


def test_a_head_whose_class_vectors_have_no_length_is_refused():
    with pytest.raises(MethodError, match="linear head, and a Cosine head has none"):
        TauNormalisation().build(scene((9, 1), head=CosineHead().build(scene((9, 1)))))


@pytest.mark.parametrize("name", ["Logit adjustment", "Balanced Softmax", "tau-normalisation"])
def test_tau_0_changes_nothing_bit_for_bit(name):
    head = nn.Linear(3, 3)
    ((slot, part),) = recipe(name).tuned({f"{slot}.tau": 0.0 for slot in recipe(name).parts()}).parts().items()
    built = part.build(scene((90, 9, 1), head=head))
    z, y, epsilon = Drawn((90, 9, 1), 8, 0).tensors()
    with torch.no_grad():
        if slot == "finish":
            assert torch.equal(built(z), z)
        else:
            assert torch.equal(built(z, y, epsilon), cross_entropy(z, y, epsilon))


def test_an_average_without_memory_is_the_network_itself():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = ExponentialMovingAverage(model, decay=0.0)
    for step in range(3):
        model(torch.randn(5, 3))
        with torch.no_grad():
            model[0].weight.add_(1.0)
        average.update(step)
    floats = [t for t in model.state_dict().values() if t.is_floating_point()]
    assert all(torch.equal(mean, raw) for mean, raw in zip(average.state(), floats, strict=True))
