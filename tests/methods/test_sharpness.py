"""SAM, SAM-A and ImbSAM: the climb of each reading is its formula's, and what must be exact is exact."""

import copy
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tailboard.harness.training.loop import descend
from tailboard.harness.training.objective import Objective
from tailboard.methods.losses import cross_entropy
from tailboard.methods.optimizers.sharpness import SAM, SAMA, ImbSAM
from tailboard.methods.part import ClassWeights, MethodError, Mixed, Scene

pytestmark = pytest.mark.usefixtures("double_precision")

COUNTS = (400, 90, 30, 7)
CLASSES, BATCH, RHO = len(COUNTS), 16, 0.3
KINDS = ["weighted_dir", "radius", "eq5_literal", "one_minus", "eq3_linear"]
STEPS = {"SAM": SAM(RHO), "ImbSAM": ImbSAM(RHO)} | {kind: SAMA(RHO, kind) for kind in KINDS}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh())
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x):
        return self.head(self.features(x))


class Bench:
    """A network, its optimizer and a stream of batches, the same in every bench."""

    def __init__(self, lr=0.1, counts=COUNTS):
        self.generator = torch.Generator().manual_seed(0)
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.model = Net()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=lr, momentum=0.9, weight_decay=0.01)
        cpu = torch.device("cpu")
        self.scene = Scene(counts, 1, self.model, cpu, lambda _: self.generator, lambda _: self.model)
        self.scene.frequencies = counts

    def batch(self, share=1.0, labels=range(CLASSES)):
        x = torch.randn(BATCH, 6, generator=self.generator)
        chosen = torch.randint(len(labels), (2, BATCH), generator=self.generator)
        y, other = torch.tensor(list(labels))[chosen]
        return Mixed(x, y, other, share)

    def objective(self, batch, epsilon=0.1):
        even, smoothing = ClassWeights(torch.ones(CLASSES)), torch.full((CLASSES,), epsilon)
        return Objective(self.model, cross_entropy, None, smoothing, even, nullcontext, batch)

    def train(self, step, steps=5, share=0.7):
        """The losses that ``step`` returns; CutMix's two targets unless share is 1."""
        batches = [self.batch(share) for _ in range(steps)]
        return [step(self.objective(batch), batch.y, self.optimizer).item() for batch in batches]

    def weights(self):
        return torch.cat([weight.detach().flatten() for weight in self.model.parameters()])


def trained_by(part, share=0.7, counts=COUNTS):
    bench = Bench(counts=counts)
    bench.train(part.build(bench.scene), share=share)
    return bench.weights()


def watched(part, batch_of=Bench.batch):
    """One step without learning rate: the bench, and (input, weights, running mean) of each of its forward passes."""
    bench, seen = Bench(lr=0.0), []
    norm = bench.model.features[1]
    bench.model.features.register_forward_hook(
        lambda _, x, __: seen.append((x[0], bench.weights(), norm.running_mean.clone()))
    )
    batch = batch_of(bench)
    part.build(bench.scene)(bench.objective(batch), batch.y, bench.optimizer)
    return bench, batch, seen


def flat_gradient(loss, model):
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)])


def climb_by_formula(kind, bench, batch):
    """e from the gradients G_c of the summed loss of each class's samples, read off the table in SAMA."""
    model = copy.deepcopy(bench.model)
    losses = cross_entropy(model(batch.x), batch.y, torch.full((BATCH,), 0.1))
    by_class = [flat_gradient((losses * (batch.y == c)).sum(), model) for c in range(CLASSES)]
    p = [n / sum(COUNTS) for n in COUNTS]
    inverse = [(1 / share) / (sum(1 / q for q in p) / CLASSES) for share in p]
    a = {
        "weighted_dir": [max(COUNTS) / n for n in COUNTS],
        "eq5_literal": [min(1 / (1 - share), 10) for share in p],
        "one_minus": [1 - share for share in p],
    }.get(kind, [min(w, 10) for w in inverse])
    v = sum(a[c] * by_class[c] for c in range(CLASSES)) / BATCH
    length = {"weighted_dir": v.norm(), "eq3_linear": 1.0}.get(kind, (sum(by_class) / BATCH).norm())
    return RHO * v / length


@pytest.mark.parametrize("kind", KINDS)
def test_the_climb_is_its_formula(kind):
    """For eq3_linear this is the identity of eq. 3: the sum over classes of rho_c (B_c / B) grad L_c."""
    bench, batch, passes = watched(STEPS[kind])
    torch.testing.assert_close(passes[1][1] - passes[0][1], climb_by_formula(kind, bench, batch), atol=1e-11, rtol=0)


@pytest.mark.parametrize("name", ["SAM", "weighted_dir", "ImbSAM"])
def test_the_climb_is_rho_long(name):
    _, _, passes = watched(STEPS[name])
    assert (passes[1][1] - passes[0][1]).norm().item() == pytest.approx(RHO, rel=1e-9)


@pytest.mark.parametrize("name", STEPS)
def test_weights_come_back_exactly_and_both_passes_see_one_batch(name):
    bench, batch, passes = watched(STEPS[name], lambda bench: bench.batch(share=0.6))
    assert len(passes) == 2
    assert torch.equal(bench.weights(), passes[0][1])
    assert not torch.equal(passes[1][1], passes[0][1])
    assert all(x is batch.x for x, _, _ in passes)


@pytest.mark.parametrize("name", STEPS)
def test_running_statistics_are_those_of_one_forward_pass(name):
    bench, batch, _ = watched(STEPS[name])
    plain = Bench().model
    plain(batch.x)
    norm = bench.model.features[1]
    assert torch.equal(norm.running_mean, plain.features[1].running_mean)
    assert torch.equal(norm.running_var, plain.features[1].running_var)
    assert norm.num_batches_tracked.item() == 1
    assert norm.track_running_stats


@pytest.mark.parametrize("part", [SAM(0.0), *(SAMA(0.0, kind) for kind in KINDS), ImbSAM(RHO, eta=0.0)], ids=str)
def test_neutral_values_are_sgd_bit_for_bit_and_both_passes_are_run(part):
    plain, ours, passes = Bench(), Bench(), []
    ours.model.features.register_forward_hook(lambda *_: passes.append(1))
    losses = plain.train(descend)
    assert ours.train(part.build(ours.scene)) == losses
    assert torch.equal(ours.weights(), plain.weights())
    assert len(passes) == 2 * len(losses)


@pytest.mark.parametrize("kind", ["weighted_dir", "radius"])
def test_uniform_weights_are_sam_bit_for_bit(kind):
    assert torch.equal(trained_by(SAMA(RHO, kind, power=0.0)), trained_by(SAM(RHO)))
    assert not torch.equal(trained_by(SAMA(RHO, kind, power=1.0)), trained_by(SAM(RHO)))


def test_eq3_linear_with_uniform_weights_is_not_sam():
    assert not torch.allclose(trained_by(SAMA(RHO, "eq3_linear", power=0.0)), trained_by(SAM(RHO)))


class Scaled(SAMA):
    def emphasis(self, drawn):
        return [7 * weight for weight in super().emphasis(drawn)]


@pytest.mark.parametrize(("kind", "indifferent"), [("weighted_dir", True), ("radius", False)])
def test_scale_of_the_weights(kind, indifferent):
    same = torch.allclose(trained_by(Scaled(RHO, kind)), trained_by(SAMA(RHO, kind)), atol=1e-12, rtol=0)
    assert same == indifferent


@pytest.mark.parametrize("scheme", ["inverse", "class_balanced", "square_root"])
def test_once_the_sampler_is_balanced_the_step_is_sam(scheme):
    """The weights follow what the sampler draws, also within one training."""
    part, bench, sam = SAMA(RHO, scheme=scheme), Bench(), Bench()
    asymmetric, symmetric = part.build(bench.scene), SAM(RHO).build(sam.scene)
    bench.scene.frequencies = (1.0,) * CLASSES
    bench.train(asymmetric)
    sam.train(symmetric)
    torch.testing.assert_close(bench.weights(), sam.weights(), atol=1e-12, rtol=0)
    bench.scene.frequencies = COUNTS
    bench.train(asymmetric)
    sam.train(symmetric)
    assert not torch.allclose(bench.weights(), sam.weights(), atol=1e-6)


@pytest.mark.parametrize("name", STEPS)
def test_the_loss_returned_is_the_plain_one_before_the_climb(name):
    bench = Bench()
    batch = bench.batch(share=0.6)
    expected = copy.deepcopy(bench).objective(batch)().item()
    loss = STEPS[name].build(bench.scene)(bench.objective(batch), batch.y, bench.optimizer)
    assert loss.item() == expected
    assert not loss.requires_grad


class ReferenceSAM:
    """SAM as davda54/sam writes it: two half-steps around an optimizer, e taken off again by subtraction."""

    def __init__(self, model, optimizer):
        self.weights, self.optimizer = list(model.parameters()), optimizer

    @torch.no_grad()
    def climb(self):
        length = torch.stack([w.grad.norm() for w in self.weights]).norm()
        self.e = [w.grad * RHO / (length + 1e-12) for w in self.weights]
        for weight, e in zip(self.weights, self.e, strict=True):
            weight.add_(e)
        self.optimizer.zero_grad()

    @torch.no_grad()
    def descend(self):
        for weight, e in zip(self.weights, self.e, strict=True):
            weight.sub_(e)
        self.optimizer.step()
        self.optimizer.zero_grad()


@pytest.mark.parametrize(("part", "weights"), [(SAM(RHO), None), (SAMA(RHO), [max(COUNTS) / n for n in COUNTS])])
def test_five_steps_agree_with_the_reference(part, weights):
    """SAM, and SAM-A as the authors' closure: a weighted cross-entropy climbs, an unweighted one descends."""
    bench = Bench()
    reference = ReferenceSAM(bench.model, bench.optimizer)
    weights = weights and torch.tensor(weights)
    for _ in range(5):
        batch = bench.batch()
        F.cross_entropy(bench.model(batch.x), batch.y, weights).backward()
        reference.climb()
        F.cross_entropy(bench.model(batch.x), batch.y).backward()
        reference.descend()
    ours = Bench()
    step = part.build(ours.scene)
    for _ in range(5):
        batch = ours.batch()
        step(ours.objective(batch, epsilon=0.0), batch.y, ours.optimizer)
    torch.testing.assert_close(ours.weights(), bench.weights(), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("eta", "first_of_tail"), [(50.0, 2), (30.0, 3)])  # 30 images are not fewer than 30
def test_imbsam_agrees_with_a_gradient_by_parts(eta, first_of_tail):
    """grad head(theta) + 2 grad tail(theta + e), the official code's three backward passes, for one SGD step."""
    bench, batch, passes = watched(ImbSAM(RHO, eta=eta))
    model = copy.deepcopy(bench.model)

    def part_of(tail):
        losses = cross_entropy(model(batch.x), batch.y, torch.full((BATCH,), 0.1))
        return flat_gradient(losses[(batch.y >= first_of_tail) == tail].sum() / BATCH, model)

    head, tail = part_of(False), part_of(True)
    torch.testing.assert_close(passes[1][1] - passes[0][1], RHO * tail / tail.norm(), atol=1e-11, rtol=0)
    nn.utils.vector_to_parameters(passes[1][1], model.parameters())
    gradient = torch.cat([weight.grad.flatten() for weight in bench.model.parameters()])
    decay = 0.01 * passes[0][1]  # SGD adds it to the gradient, not to .grad
    torch.testing.assert_close(gradient, head + 2 * part_of(True), atol=1e-12, rtol=0)
    momentum = torch.cat([s["momentum_buffer"].flatten() for s in bench.optimizer.state.values()])
    torch.testing.assert_close(momentum, gradient + decay, atol=1e-12, rtol=0)


def test_imbsam_of_a_batch_without_tail_images_is_sgd_and_of_all_classes_is_sam():
    _, _, passes = watched(ImbSAM(RHO), lambda bench: bench.batch(labels=[0, 1]))
    assert torch.equal(passes[1][1], passes[0][1])
    everything = ImbSAM(RHO, eta=1000.0, tail_weight=1.0)
    torch.testing.assert_close(trained_by(everything), trained_by(SAM(RHO)), atol=1e-12, rtol=0)


def test_emphases_worked_out():
    """The numbers of the dossier: eq. 5 as printed moves CIFAR-10's head class by 1.675 and its rarest by 1.004."""
    cifar10 = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    literal = SAMA(kind="eq5_literal").emphasis(cifar10)
    assert [round(literal[0], 3), round(literal[-1], 3)] == [1.675, 1.004]
    assert SAMA(kind="eq5_literal").emphasis([1000, 1])[0] == 10.0
    assert SAMA(kind="radius").emphasis([1000] * 99 + [1])[-1] == 10.0
    assert SAMA().emphasis([1000] * 99 + [1])[-1] > 90


@pytest.mark.parametrize("kind", KINDS)
def test_one_class(kind):
    assert SAMA(kind=kind).emphasis([12]) == {"eq5_literal": [10.0], "one_minus": [0.0]}.get(kind, [1.0])


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: SAM(-0.1), "rho"),
        (lambda: SAMA(kind="eq5"), "kind must be one of weighted_dir"),
        (lambda: SAMA(scheme="linear"), "scheme must be one of inverse"),
        (lambda: SAMA(beta=1.0), "beta"),
        (lambda: SAMA(cap=0.5), "cap"),
        (lambda: ImbSAM(tail_weight=-1.0), "tail_weight"),
    ],
)
def test_wrong_values_are_refused(make, rule):
    with pytest.raises(MethodError, match=rule):
        make()
