"""AutoAugment and AugMix in batches are torchvision's, image by image: the same operations at the same strengths with
the same probabilities, and their pixels. Every statistical test has a fixed seed; its level is 0.001."""

from collections import Counter

import pytest
import torch
from scipy import stats
from torchvision.transforms import v2

from tailboard.datasets.augment.augmix import augmix, draw_mixture
from tailboard.datasets.augment.auto_augment import POLICY, auto_augment, draw_pairs
from tailboard.datasets.augment.trivial_augment import OPERATIONS

LEVEL, DRAWS = 0.001, 1500
AUTO = v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)
MIX = v2.AugMix()
BOTH = {"auto_augment": (auto_augment, AUTO), "augmix": (augmix, MIX)}
SHAPES = [(3, 32, 32), (1, 24, 40)]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(shape: tuple[int, int, int], count: int) -> torch.Tensor:
    """Smooth gradients, (count, *shape), uint8."""
    noise = torch.rand((count, *shape), generator=seeded(9)) * 255
    return torch.nn.functional.interpolate(noise[..., ::8, ::8], size=shape[1:], mode="bilinear").to(torch.uint8)


def theirs(transform, image: torch.Tensor, operation: int, strength: float) -> torch.Tensor:
    """An operation by torchvision, whose thresholds are shares of 255."""
    name = OPERATIONS[operation]
    strength = strength / 255 if name == "Solarize" else strength
    return transform._apply_image_or_video_transform(image, name, strength, transform.interpolation, transform._fill)


def in_our_units(transform, name: str, level: int | None, shape) -> tuple[str, float]:
    """What torchvision's strength of an operation at a level is called here."""
    if name == "Invert":
        return "Solarize", 0.0
    values = transform._AUGMENTATION_SPACE[name][0](10, *shape[1:])
    value = 0.0 if values is None else float(values[level])
    value = float(int(value)) if name.startswith("Translate") else value
    return name, 255 * value if name == "Solarize" else value


def test_the_policy_is_torchvisions():
    assert [[(name, chance, level or 0) for name, chance, level in pair] for pair in AUTO._policies] == [
        list(pair) for pair in POLICY
    ]


@pytest.mark.parametrize("shape", SHAPES)
def test_pairs_have_torchvisions_probabilities_and_strengths(shape):
    expected, drawn = Counter(), Counter()
    for pair in AUTO._policies:
        steps = []
        for name, chance, level in pair:
            ours, value = in_our_units(AUTO, name, level, shape)
            signs = (1, -1) if AUTO._AUGMENTATION_SPACE[name][1] else (1, 1)
            done = [((ours, round(sign * value, 3) + 0.0), chance / 2) for sign in signs]
            steps.append([(("Identity",), 1 - chance), *done])
        for first, p in steps[0]:
            for second, q in steps[1]:
                expected[first, second] += p * q / len(POLICY)
    operation, strength = draw_pairs(60_000, *shape[1:], seeded())
    for ops, values in zip(operation.T.tolist(), strength.T.tolist(), strict=True):
        done = zip(ops, values, strict=True)
        named = [(OPERATIONS[op], round(value, 3) + 0.0) if op else ("Identity",) for op, value in done]
        drawn[tuple(named)] += 1
    cells = sorted(cell for cell, share in expected.items() if 60_000 * share > 5)
    assert drawn.keys() <= {cell for cell, share in expected.items() if share > 1e-9}
    rest = [sum(c.values()) - sum(c[cell] for cell in cells) for c in (drawn, expected)]
    found = [[c[cell] for cell in cells] + [left] for c, left in zip((drawn, expected), rest, strict=True)]
    assert stats.chisquare(found[0], [60_000 * share for share in found[1]]).pvalue > LEVEL


@pytest.mark.parametrize("shape", SHAPES)
def test_auto_augment_gives_torchvisions_pixels(shape):
    x = pictures(shape, 200)
    out = auto_augment(x, seeded(3))
    operation, strength = draw_pairs(len(x), *shape[1:], seeded(3))
    different = []
    for i, image in enumerate(x):
        for step in (0, 1):
            image = theirs(AUTO, image, int(operation[step, i]), float(strength[step, i]))  # noqa: PLW2901
        different.append(((image.int() - out[i].int()).abs() > 1).double().mean().item())
    # A level that a blend rounds otherwise may fall on the other side of a threshold, or move all that is equalised.
    assert sum(share < 0.005 for share in different) >= 190
    assert sum(different) / len(x) < 0.02


def test_the_operations_of_augmix_have_torchvisions_distribution():
    expected = Counter()
    for name, (_, signed) in MIX._AUGMENTATION_SPACE.items():
        for level in range(MIX.severity):
            for sign in (1, -1) if signed else (1, 1):
                expected[name, round(sign * in_our_units(MIX, name, level, (3, 32, 32))[1], 3) + 0.0] += 1
    mixture = draw_mixture(20_000, 32, 32, seeded())
    first = mixture.operation[:, 0].flatten().tolist(), mixture.strength[:, 0].flatten().tolist()
    drawn = Counter((OPERATIONS[op], round(value, 3) + 0.0) for op, value in zip(*first, strict=True))
    assert drawn.keys() == expected.keys()
    total, cells = sum(expected.values()), sorted(expected)
    assert stats.chisquare([drawn[c] for c in cells], [60_000 * expected[c] / total for c in cells]).pvalue > LEVEL
    depths = (mixture.operation > 0).sum(1).flatten().bincount(minlength=4)
    assert depths[0] == 0
    assert stats.chisquare(depths[1:]).pvalue > LEVEL


def test_the_weights_of_augmix_are_dirichlets():
    weight = draw_mixture(20_000, 32, 32, seeded(1)).weight
    assert torch.allclose(weight.sum(0), torch.ones(20_000))
    assert stats.kstest(weight[0], "uniform").pvalue > LEVEL  # Beta(1, 1)
    assert stats.kstest(weight[1] / (1 - weight[0]), stats.beta(1, 2).cdf).pvalue > LEVEL  # of Dirichlet(1, 1, 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_augmix_gives_torchvisions_pixels(shape):
    x = pictures(shape, 60)
    out = augmix(x, seeded(3))
    operation, strength, weight = draw_mixture(len(x), *shape[1:], seeded(3))
    near = []
    for i, image in enumerate(x):
        mixed = weight[0, i] * image
        for chain in range(3):
            changed = image[None]
            for step in range(3):
                changed = theirs(MIX, changed, int(operation[chain, step, i]), float(strength[chain, step, i]))
            mixed = mixed + weight[1 + chain, i] * changed[0]
        near.append(((mixed.to(torch.uint8).int() - out[i].int()).abs() <= 1).double().mean().item())
    assert sum(share > 0.99 for share in near) >= 54
    assert sum(near) / len(x) > 0.97


@pytest.mark.slow
@pytest.mark.parametrize("name", BOTH)
def test_the_output_has_torchvisions_distribution(name):
    ours, transform = BOTH[name]
    image = pictures((3, 32, 32), 1)[0]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        expected = torch.stack([transform(image) for _ in range(DRAWS)]).double()
    found = ours(image.expand(DRAWS, -1, -1, -1), seeded()).double()
    error = ((expected.var(0) + found.var(0)) / DRAWS).sqrt().clamp(min=1e-9)
    # The largest of 3072 (dependent) standard normal deviates exceeds 5 with a probability below 0.002.
    assert ((expected.mean(0) - found.mean(0)) / error).abs().max() < 5
    assert stats.ks_2samp(expected.mean((1, 2, 3)), found.mean((1, 2, 3))).pvalue > LEVEL
    assert stats.ks_2samp(expected.std((1, 2, 3)), found.std((1, 2, 3))).pvalue > LEVEL


@pytest.mark.parametrize("name", BOTH)
def test_the_generator_alone_decides_and_nothing_is_read_back(name):
    augment, x = BOTH[name][0], pictures((3, 32, 32), 32)
    before = x.clone()
    generator = seeded(1)
    first, second = augment(x, generator), augment(x, generator)
    torch.manual_seed(5)
    assert torch.equal(first, augment(x, seeded(1)))
    assert not torch.equal(first, second)
    assert torch.equal(x, before), "the batch given was written to"
    assert len(augment(x[:1].expand(64, -1, -1, -1), seeded()).flatten(1).unique(dim=0)) > 20
    meta = torch.empty((8, 3, 32, 32), dtype=torch.uint8, device="meta")  # whatever waits for the device raises here
    assert augment(meta, seeded()).device.type == "meta"
    with pytest.raises(TypeError, match="uint8"):
        augment(x / 255, seeded())
