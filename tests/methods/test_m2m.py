"""M2m generates what its algorithm says, only where it may, and leaves both networks as they were."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from tailboard.harness.training.random_streams import RandomStreams
from tailboard.methods.need import Need
from tailboard.methods.part import MethodError, Scene
from tailboard.methods.recipe import Recipe
from tailboard.methods.registry import recipe
from tailboard.methods.sampling.balance import DeferredResampling, Resampling
from tailboard.methods.sampling.m2m import M2m
from tailboard.methods.stages.joint_ssl import JointSSL

COUNTS = (400, 60, 9)
SHAPE = (3, 6, 6)


class Linear(nn.Module):
    """Logits that are linear in the pixels; the BatchNorm, unused by them, would show a pass in training mode."""

    def __init__(self, seed: int, classes: int = 3) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        weight = torch.randn(classes, 108, generator=draw)
        self.weight = nn.Parameter(weight - weight.mean(dim=1, keepdim=True))  # brightness tells nothing
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x + 0 * self.norm(x)).flatten(1) @ self.weight.T


def training_images(label: int, most: int) -> torch.Tensor:
    return torch.rand(7, *SHAPE, generator=torch.Generator().manual_seed(label))[:most]


def translator(part=M2m(), counts=COUNTS, frequencies=None, judge=None, model=None):  # noqa: B008
    stand_in = lambda method, independent: judge or Linear(2)  # noqa: E731
    scene = Scene(counts, 10, model or Linear(1, len(counts)), torch.device("cpu"), RandomStreams(5), stand_in)
    scene.images = training_images
    scene.frequencies = frequencies or (1.0,) * len(counts)
    return part.build(scene)


def batch(size: int = 64, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(7)
    x = torch.rand(size, *SHAPE, generator=draw) * 0.4 + 0.3  # so far from 0 and 1 that nothing is cut off
    return x, torch.randint(classes, (size,), generator=draw)


pytestmark = pytest.mark.usefixtures("double")
EASY = M2m(gamma=0.0, beta=0.99, relative=False)  # every image that the coin lets through is taken


def changed(mixed, x: torch.Tensor) -> torch.Tensor:
    return (mixed.x != x).flatten(1).any(dim=1)


def test_nothing_is_generated_while_classes_are_drawn_as_they_come():
    x, y = batch()
    mixed = translator(EASY, frequencies=COUNTS)(x, y, 0)
    assert mixed.x is x
    assert not mixed.closed


@pytest.mark.parametrize(("part", "counts"), [(M2m(gamma=0.0, beta=1.0), COUNTS), (EASY, (50, 50, 50))])
def test_beta_1_and_equal_counts_generate_nothing(part, counts):
    x, y = batch()
    mixed = translator(part, counts)(x, y, 0)
    assert mixed.x is x
    assert not mixed.closed  # so CutMix goes on, as without M2m


def test_a_batch_that_is_generated_into_keeps_its_labels_and_may_be_mixed():
    x, y = batch()
    mixed = translator(EASY)(x, y, 0)
    assert not mixed.closed
    assert torch.equal(mixed.y, y)
    assert changed(mixed, x).any()
    assert not changed(mixed, x)[y == 0].any()  # the largest class has no slots


@pytest.mark.slow
@pytest.mark.parametrize("counts", [COUNTS, (9, 400, 60)])
def test_slots_seeds_and_acceptance_have_their_probabilities(counts):
    """Over many draws, each frequency within 5 standard errors of what methods.md 2.6 says."""
    n = np.array(counts, dtype=float)
    chance = 1 - 0.97 ** np.maximum(n[:, None] - n, 0)
    build = translator(M2m(beta=0.97, relative=False), counts)
    y = torch.tensor([0, 0, 1, 1, 1, 2])
    draws = 4000
    found = np.zeros((6, 6))
    for _ in range(draws):
        slots = build.draw(y)
        found[slots.places.numpy(), slots.seeds.numpy()] += 1
    label = y.numpy()
    weights = chance[label[:, None], label].T  # (place, seed)
    drawn = weights / np.maximum(weights.sum(1, keepdims=True), 1e-12)
    expected = (1 - n[label] / n.max())[:, None] * drawn * weights
    error = np.sqrt(expected * (1 - expected) / draws)
    assert (np.abs(found / draws - expected) <= 5 * error).all()
    assert found[:, n[label] == n.min()].sum() == 0


def test_beta_is_that_of_a_largest_class_of_5000_images():
    """P at 400, 60 and 9 images is P at 5,000, 750 and 112.5; the exponents are written out."""
    chance = translator().chance
    expected = torch.zeros(3, 3)
    expected[0, 1], expected[0, 2], expected[1, 2] = (1 - 0.999**gap for gap in (4250.0, 4887.5, 637.5))
    torch.testing.assert_close(chance, expected, rtol=1e-12, atol=0)
    printed = translator(M2m(relative=False)).chance
    assert printed[0, 1].item() == pytest.approx(1 - 0.999**340)


def test_gamma_is_a_share_of_what_the_judge_says_of_training_images():
    judge = Linear(2)
    usual = [judge(training_images(c, 500)).softmax(1)[:, c].mean().item() for c in range(3)]
    assert max(usual) < 0.9, "no image reaches the absolute gamma where real ones do not"
    build = translator(M2m(gamma=0.9, beta=0.0), judge=judge)
    assert build._usual.tolist() == pytest.approx(usual)
    x, y = batch(200)
    mixed = build(x, y, 0)
    kept = changed(mixed, x)
    p = judge(mixed.x).softmax(1)
    sure = p.gather(1, y[:, None]).squeeze(1)
    assert 0 < kept.sum() < (y > 0).sum()
    assert (p.argmax(1)[kept] == y[kept]).all()
    assert (sure[kept] >= 0.9 * torch.tensor(usual)[y[kept]] - 1e-9).all()


def test_noise_is_of_length_one_half_and_the_official_one_is_not():
    x = torch.zeros(128, 3, 32, 32)
    lengths = {noise: translator(M2m(noise=noise))._noise(x).flatten(1).norm(dim=1) for noise in ("fixed", "official")}
    torch.testing.assert_close(lengths["fixed"], torch.full((128,), 0.5), rtol=1e-6, atol=0)
    assert lengths["official"].mean().item() == pytest.approx(0.5 * (3 / 128) ** 0.5, rel=1e-3)


def test_every_step_moves_every_image_by_its_length():
    build = translator(M2m(step_size=0.07))
    x, y = batch(20)
    direction = build._direction(x, y, (y + 1) % 3)
    torch.testing.assert_close(0.07 * direction.flatten(1).norm(dim=1), torch.full((20,), 0.07))


def test_a_step_goes_down_the_objective_of_both_networks():
    judge, model = Linear(2), Linear(1)
    build = translator(M2m(lambda_=0.3), judge=judge, model=model)
    x, own = batch(5)
    wanted = (own + 1) % 3
    p = (x.flatten(1) @ judge.weight.T).softmax(1)
    slope = (p - nn.functional.one_hot(wanted, 3)) @ judge.weight + 0.3 * model.weight[own]  # by hand
    expected = slope / slope.norm(dim=1, keepdim=True)
    torch.testing.assert_close(build._direction(x, own, wanted).flatten(1), expected)


def test_pixels_are_normalised_inside_the_networks_only():
    mean, std = 0.4, 0.2
    plain, scaled = translator(EASY), translator(EASY)
    scaled._scene.normalise = lambda x: (x - mean) / std
    x, y = batch(6)
    with torch.no_grad():
        shifted = scaled._judge.weight / std  # a linear network of pixels that equals the network of normalised ones
        plain._judge.weight.copy_(shifted)
        plain._scene.model.weight.copy_(scaled._scene.model.weight / std)
    offset = (-mean / std * scaled._judge.weight.sum(1)).detach()
    plain._judge.register_forward_hook(lambda *_: _[2] + offset)
    torch.testing.assert_close(scaled.translate(x, y, (y + 1) % 3), plain.translate(x, y, (y + 1) % 3))


def test_pixels_stay_pixels():
    x, y = batch()
    mixed = translator(M2m(gamma=0.0, step_size=3.0))(x.round(), y, 0)
    assert mixed.x.min() >= 0
    assert mixed.x.max() <= 1


def test_without_lambda_the_network_in_training_has_no_say():
    x, y = batch()
    one, other = (translator(M2m(gamma=0.0, lambda_=0.0), model=Linear(s))(x, y, 0) for s in (1, 9))
    assert torch.equal(one.x, other.x)
    assert not torch.equal(one.x, translator(EASY)(x, y, 0).x)


def test_enough_steps_reach_gamma_and_no_image_that_falls_short_is_taken():
    """With linear g and f, every step lowers the objective, so g is made sure of the wanted class in the end."""
    x, y = batch(200)
    sure = {}
    for steps in (2, 30):
        build = translator(M2m(beta=0.0, gamma=0.95, lambda_=0.01, steps=steps, step_size=0.1, relative=False))
        mixed = build(x, y, 0)
        kept = changed(mixed, x)
        probability = build._judge(mixed.x).softmax(1).gather(1, y[:, None]).squeeze(1)
        assert (probability[kept] >= 0.95 - 1e-9).all()
        sure[steps] = build.notes()
    assert all(sure[30][name] > 0.9 for name in ("accepted", "accepted_1", "accepted_2"))
    assert all(sure[2][name] < sure[30][name] for name in ("accepted", "accepted_1", "accepted_2"))


def test_what_is_carried_is_an_image_of_a_larger_class():
    x, y = batch()
    mixed = translator(M2m(gamma=0.0, steps=0))(x, y, 0)  # seeds with noise of length 0.5; images are 1.2 apart or more
    apart = (mixed.x.flatten(1)[:, None] - x.flatten(1)[None]).norm(dim=2)
    nearest = y[apart.argmin(dim=1)]
    kept = changed(mixed, x)
    assert (apart.min(dim=1).values[kept] <= 0.5 + 1e-9).all()
    assert kept.sum() >= 5
    assert (nearest[kept] < y[kept]).all()


def test_a_rejected_slot_keeps_its_image():
    x, y = batch()
    build = translator(M2m(beta=0.0, gamma=1.0, steps=1, relative=False))
    assert torch.equal(build(x, y, 0).x, x)
    assert build.notes() == {"acted": 0, "ceiling": 1, "filled": 0, "accepted": 0, "accepted_1": 0, "accepted_2": 0}


def test_both_networks_are_left_as_they_were():
    judge, model = Linear(2).train(), Linear(1).train()
    model.norm.eval()  # as of a part of the network that rests
    before = {name: t.clone() for net in (judge, model) for name, t in net.state_dict(prefix=str(id(net))).items()}
    x, y = batch()
    translator(EASY, judge=judge, model=model)(x, y, 0)
    after = {name: t for net in (judge, model) for name, t in net.state_dict(prefix=str(id(net))).items()}
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(weight.grad is None for net in (judge, model) for weight in net.parameters())
    assert (judge.training, judge.norm.training, model.training, model.norm.training) == (True, True, True, False)


def test_the_same_seed_generates_the_same():
    x, y = batch()
    assert torch.equal(translator(EASY)(x, y, 0).x, translator(EASY)(x, y, 0).x)


@pytest.mark.parametrize("y", [[0], [2], [1, 1, 1], [2, 2, 0], [0, 0]])
def test_batches_that_lack_classes_or_hold_one_image(y):
    x = batch(len(y))[0]
    assert translator(EASY)(x, torch.tensor(y), 0).x.shape == x.shape


def test_notes_are_what_was_generated_and_accepted_since_the_last():
    build = translator(M2m(gamma=0.0, beta=0.0))  # every coin falls well
    x, y = batch()
    build(x, y, 0)
    assert build.notes() == {"acted": 1, "ceiling": 1, "filled": 1, "accepted": 1, "accepted_1": 1, "accepted_2": 1}
    assert build.notes() == {"acted": 0}


def test_the_ceiling_is_the_share_of_slots_that_beta_leaves():
    x, y = batch(2000)
    build = translator(M2m(gamma=0.0, beta=0.5 ** (400 / 5000 / 340)))  # P is 0.5 from the first class to the second
    build(x, y, 0)
    notes = build.notes()
    assert notes["filled"] == notes["ceiling"] < 0.6
    assert notes["accepted"] == 1


def m2m(start: float, **values) -> Recipe:
    return Recipe(sampler=DeferredResampling(start=start), mixer=M2m(**values))


def test_started_at_the_end_it_is_erm(weights):
    erm, late = weights(Recipe()), weights(m2m(1.0))
    assert all(torch.equal(erm[name], late[name]) for name in erm)


@pytest.mark.parametrize(("counts", "beta"), [((24, 12, 6), 1.0), ((14, 14, 14), 0.9)])
def test_without_anything_to_translate_it_is_its_sampler(weights, counts, beta):
    alone, both = weights(Recipe(sampler=DeferredResampling(start=0.4)), counts), weights(m2m(0.4, beta=beta), counts)
    assert all(torch.equal(alone[name], both[name]) for name in alone)


@pytest.mark.parametrize("mixed", [0.0, 1.0])
def test_where_no_image_is_accepted_it_is_its_sampler(tiny, mixed):
    """CutMix too acts as it does for the sampler alone."""
    alone = tiny(Recipe(sampler=DeferredResampling(start=0.4)), cutmix=mixed)
    both = tiny(m2m(0.4, beta=0.0, gamma=1.0, steps=1, relative=False), cutmix=mixed)
    lines = [list(run.epochs()) for run in (alone, both)][1]
    assert [line.get("mixer.accepted") for line in lines] == [None, None, 0, 0, 0]
    ours, theirs = (run.trained.state_dict() for run in (alone, both))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_it_generates_in_the_second_phase_of_a_run_and_its_history_says_so(tiny):
    run = tiny(m2m(0.4, beta=0.0, gamma=0.0))
    lines = list(run.epochs())
    assert [line["mixer.acted"] for line in lines] == [0, 0, 1, 1, 1]
    assert [line["sampler.acted"] for line in lines] == [0, 0, 1, 1, 1]
    assert [any(name.startswith("mixer.accepted") for name in line) for line in lines] == [False] * 2 + [True] * 3
    alone = tiny(Recipe(sampler=DeferredResampling(start=0.4)))
    list(alone.epochs())
    assert not torch.equal(run.model.head.weight, alone.model.head.weight)


@pytest.mark.parametrize("more", [Recipe(), recipe("SAM-A")], ids=["alone", "with SAM-A"])
def test_a_run_resumed_while_generating_goes_on_bit_for_bit(same_after_resume, more):
    same_after_resume(m2m(0.4, beta=0.0, gamma=0.0) | more, at=3)


def second_phase(run):
    """A batch of the fourth epoch, its views, and the run's way to take a step on it."""
    order, even = run._begin(3)
    return (*run._batch(order[0], 3), lambda: run._advance(order[0], 3, even))


def test_self_supervision_sees_the_original_images(tiny):
    joint = Recipe(extra=JointSSL(width=8))
    generated, views, _ = second_phase(tiny(m2m(0.4, beta=0.0, gamma=0.0) | joint))
    drawn, same_views, _ = second_phase(tiny(Recipe(sampler=DeferredResampling(start=0.4)) | joint, cutmix=0.0))
    assert not torch.equal(generated.x, drawn.x)
    assert all(torch.equal(a, b) for a, b in zip(views, same_views, strict=True))


def test_one_generation_serves_both_passes_of_sam(tiny):
    run = tiny(m2m(0.4, beta=0.0, gamma=0.0, steps=4) | recipe("SAM-A"))
    *_, step = second_phase(run)
    judged, seen = [], []
    run.mixer._judge.register_forward_hook(lambda *_: judged.append(1))
    run.model.features.register_forward_pre_hook(lambda net, x: seen.append(x[0]) if net.training else None)
    step()
    assert len(judged) == 4 + 1
    assert len(seen) == 2
    assert torch.equal(*seen)


def test_its_start_is_the_samplers_and_its_sampler_is_always_balanced():
    assert "sampler.start" in recipe("M2m").search()
    assert "sampler.q" not in recipe("M2m").search()
    assert recipe("M2m").needs() == (Need("ERM", independent=True),)
    assert recipe("M2m").tuned({"mixer.judge": "same"}).needs() == (Need("ERM"),)
    x, y = batch()
    square_root = Resampling(q=0.5).build(dataclasses.replace(translator()._scene)).frequencies(0)
    assert translator(EASY, frequencies=square_root)(x, y, 0).x is x


@pytest.mark.parametrize(
    "wrong", [{"beta": 1.1}, {"gamma": -0.1}, {"steps": -1}, {"noise": "none"}, {"judge": "another"}]
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(MethodError, match="M2m: "):
        M2m(**wrong)
