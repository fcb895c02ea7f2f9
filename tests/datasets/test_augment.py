"""Augmentation in batches is torchvision's, image by image: the same pixels, and the same distribution of draws.

Every statistical test has a fixed seed, so it passes always or never; its level is 0.001.
"""

from collections import Counter

import pytest
import torch
from scipy import stats
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tvf

from tailboard.datasets.augment.basic import cutmix, random_crop, random_flip
from tailboard.datasets.augment.resized_crop import draw_boxes, random_resized_crop, resize_boxes
from tailboard.datasets.augment.ssl_views import jitter_colours, ssl_view
from tailboard.datasets.augment.trivial_augment import (
    OPERATIONS,
    apply_operations,
    draw_operations,
    greyscale,
    trivial_augment_wide,
)

SHAPES = [(3, 32, 32), (1, 28, 28), (3, 24, 40)]
LEVEL = 0.001
ORACLE = v2.TrivialAugmentWide()
AUGMENTATIONS = {
    "random_crop": lambda x, generator: random_crop(x, 4, generator),
    "random_flip": random_flip,
    "random_resized_crop": lambda x, generator: random_resized_crop(x, 0.5, generator),
    "trivial_augment_wide": trivial_augment_wide,
    "cutmix": lambda x, generator: cutmix(x, generator, probability=1.0).x,
    "ssl_view": lambda x, generator: ssl_view(x / 255, generator),
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(shape: tuple[int, int, int], count: int = 4) -> torch.Tensor:
    """Noise and smooth gradients in turn, then a low contrast and one constant image: (count, *shape), uint8."""
    noise = torch.rand((count, *shape), generator=seeded(9)) * 255
    smooth = torch.nn.functional.interpolate(noise[..., ::8, ::8], size=shape[1:], mode="bilinear")
    x = torch.where(torch.arange(count).view(-1, 1, 1, 1) % 2 == 0, noise, smooth)
    x[-2] = 100 + x[-2] / 8
    x[-1] = 77
    return x.to(torch.uint8)


def oracle_strengths(name: str) -> list[float]:
    """All the values that torchvision may pass to an operation, each as often as it is likely (62)."""
    bins, signed = ORACLE._AUGMENTATION_SPACE[name]
    values = bins(31, 32, 32)
    values = [0.0] * 31 if values is None else values.tolist()
    return values + [-v for v in values] if signed else values * 2


def in_our_units(name: str, strength: float) -> float:
    if name.startswith("Translate"):
        return float(int(strength))
    return 255 * strength if name == "Solarize" else strength


def oracle(image: torch.Tensor, name: str, strength: float):
    return ORACLE._apply_image_or_video_transform(image, name, strength, ORACLE.interpolation, ORACLE._fill)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_gives_torchvisions_pixels_at_every_strength(name, shape):
    x = pictures(shape)
    strengths = sorted(set(oracle_strengths(name)))
    expected = torch.cat([oracle(x, name, s) for s in strengths])
    ours = torch.tensor([in_our_units(name, s) for s in strengths]).repeat_interleave(len(x))
    operation = torch.full((len(ours),), OPERATIONS.index(name))
    difference = (apply_operations(x.repeat(len(strengths), 1, 1, 1), operation, ours).int() - expected.int()).abs()
    differing = (difference > 0).double().mean().item()
    if name in ("Color", "Contrast"):
        # Torchvision's rounding takes a level from some pixels that equal what they are blended with: here from the
        # constant image, a quarter of all pixels.
        assert difference.max() <= 1
        assert differing < 0.05
    elif name == "Rotate":
        assert differing < 0.001  # a source point half-way between two pixels may fall on either
    else:
        assert differing == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_greyscale_is_torchvisions_to_the_last_bit(shape):
    for x in (pictures(shape, 8), pictures(shape, 8) / 255):
        grey = greyscale(x)
        assert torch.equal(grey, tvf.rgb_to_grayscale(x)) and grey.dtype == x.dtype


def test_in_one_batch_every_image_gets_its_own_operation_and_strength():
    x = pictures((3, 32, 32), count=256)
    operation, strength = draw_operations(len(x), seeded())
    assert operation.unique().numel() == len(OPERATIONS)
    out = apply_operations(x, operation, strength)
    for image, result, op, s in zip(x, out, operation.tolist(), strength.tolist(), strict=True):
        expected = oracle(image, OPERATIONS[op], s / 255 if OPERATIONS[op] == "Solarize" else s)
        assert ((result.int() - expected.int()).abs() > 1).double().mean() < 0.005, OPERATIONS[op]


def test_operations_and_strengths_have_torchvisions_distribution():
    expected = Counter()
    for op, name in enumerate(OPERATIONS):
        expected.update((op, round(in_our_units(name, s), 3) + 0.0) for s in oracle_strengths(name))
    operation, strength = draw_operations(100_000, seeded())
    drawn = Counter((op, round(s, 3) + 0.0) for op, s in zip(operation.tolist(), strength.tolist(), strict=True))
    assert drawn.keys() == expected.keys()
    total = sum(expected.values())
    cells = sorted(expected)
    test = stats.chisquare([drawn[c] for c in cells], [100_000 * expected[c] / total for c in cells])
    assert test.pvalue > LEVEL


def test_trivial_augment_has_torchvisions_output_distribution():
    image, draws = pictures((3, 32, 32))[1], 2000
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = torch.stack([ORACLE(image) for _ in range(draws)]).double()
    ours = trivial_augment_wide(image.expand(draws, -1, -1, -1), seeded()).double()
    error = ((theirs.var(0) + ours.var(0)) / draws).sqrt()
    # The largest of 3072 (dependent) standard normal deviates exceeds 5 with a probability below 0.002.
    assert ((theirs.mean(0) - ours.mean(0)) / error).abs().max() < 5
    assert stats.ks_2samp(theirs.mean((1, 2, 3)), ours.mean((1, 2, 3))).pvalue > LEVEL
    assert stats.ks_2samp(theirs.std((1, 2, 3)), ours.std((1, 2, 3))).pvalue > LEVEL


def test_crops_are_windows_of_the_padded_image_uniform_over_81_positions():
    count, side = 81 * 200, 16
    image = torch.arange(1, side * side + 1, dtype=torch.int16).view(1, 1, side, side)
    out = random_crop(image.expand(count, -1, -1, -1), 4, seeded())
    corner = out[:, 0, 4, 4].long() - 1  # the padded image's pixel (top + 4, left + 4)
    top, left = corner // side, corner % side
    positions = (top * 9 + left).bincount(minlength=81)
    assert positions.numel() == 81
    assert stats.chisquare(positions).pvalue > LEVEL
    padded = torch.nn.functional.pad(image[0], [4] * 4)
    for i in range(200):
        assert torch.equal(out[i], padded[:, top[i] : top[i] + side, left[i] : left[i] + side])


def test_half_of_the_images_are_mirrored():
    x = torch.arange(12).view(1, 1, 3, 4).expand(10_000, -1, -1, -1)
    out = random_flip(x, seeded())
    flipped = (out == x.flip(-1)).all(dim=(1, 2, 3))
    assert torch.equal(out[~flipped], x[~flipped])
    assert stats.binomtest(int(flipped.sum()), len(x), 0.5).pvalue > LEVEL


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_generator_alone_decides(name, shape):
    augment, x = AUGMENTATIONS[name], pictures(shape, count=32)
    before = x.clone()
    generator = seeded(1)
    first, second = augment(x, generator), augment(x, generator)
    torch.manual_seed(5)
    assert torch.equal(first, augment(x, seeded(1)))
    assert not torch.equal(first, augment(x, seeded(2)))
    assert not torch.equal(first, second)
    assert torch.equal(x, before), "the batch given was written to"
    assert first.shape == x.shape


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_no_step_reads_the_batch_back_on_the_host(name):
    # Meta tensors have no values, so whatever would wait for the device to hand one over raises here.
    x = torch.empty((64, 3, 32, 32), dtype=torch.uint8, device="meta")
    assert AUGMENTATIONS[name](x, seeded()).device.type == "meta"


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if name != "cutmix"])
def test_equal_images_in_a_batch_are_augmented_apart(name):
    x = pictures((3, 32, 32))[:1].expand(64, -1, -1, -1)
    assert len(AUGMENTATIONS[name](x, seeded()).flatten(1).unique(dim=0)) > (1 if name == "random_flip" else 30)


def test_equal_images_in_a_batch_get_different_boxes():
    # On one channel and below one half, a view's colours keep the order of the pixels: the crop alone moves the peak.
    dark = pictures((1, 32, 32))[:1] * (0.2 / 255)
    peaks = ssl_view(dark.expand(64, -1, -1, -1), seeded()).flatten(1).argmax(1)
    assert len(peaks.unique()) > 30


def test_wrong_pixels_are_refused():
    with pytest.raises(TypeError, match="uint8"):
        trivial_augment_wide(torch.rand(2, 3, 8, 8), seeded())
    with pytest.raises(TypeError, match="floating point"):
        ssl_view(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), seeded())


def test_cutmix_lambda_is_exactly_the_share_of_own_pixels():
    x = torch.arange(16.0).view(-1, 1, 1, 1).expand(-1, 3, 28, 32)
    generator, identity = seeded(), torch.arange(16)
    for _ in range(100):
        mixed, partner, lam = cutmix(x, generator, probability=1.0)
        assert torch.equal(partner.sort().values, identity)
        pasted = mixed != x
        assert ((mixed == x) | (mixed == partner.view(-1, 1, 1, 1))).all()
        own = 1 - pasted.double().mean(dim=(1, 2, 3))
        torch.testing.assert_close(own[partner != identity], torch.full_like(own, lam)[partner != identity])
    assert not torch.equal(partner, identity)


def test_cutmix_lambda_has_torchvisions_distribution():
    x, generator = torch.zeros(2, 1, 32, 32), seeded()
    theirs_cutmix, ours, theirs = v2.CutMix(alpha=0.7, num_classes=2), [], []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(2000):
            ours.append(cutmix(x, generator, alpha=0.7, probability=1.0).lam)
            theirs.append(theirs_cutmix(x, torch.tensor([0, 1]))[1][0, 0].item())
    assert stats.ks_2samp(ours, theirs).pvalue > LEVEL


def test_cutmix_at_probability_zero_gives_the_batch_back():
    x = torch.rand(8, 3, 8, 8)
    mixed, partner, lam = cutmix(x, seeded(), probability=0.0)
    assert mixed is x
    assert lam == 1.0
    assert torch.equal(partner, torch.arange(8))


def test_cutmix_takes_one_number_whatever_it_decides():
    left = []
    for alpha, probability in [(1.0, 0.0), (1.0, 1.0), (0.2, 0.5), (5.0, 1.0)]:
        generator = seeded()
        cutmix(torch.zeros(4, 1, 8, 8), generator, alpha, probability)
        left.append(torch.rand((), generator=generator).item())
    assert len(set(left)) == 1


def test_cutmix_mixes_batches_with_its_probability():
    generator, x = seeded(), torch.zeros(2, 1, 8, 8)
    mixed = sum(cutmix(x, generator, probability=0.3).x is not x for _ in range(3000))
    assert stats.binomtest(mixed, 3000, 0.3).pvalue > LEVEL


def test_cutmix_at_a_tiny_alpha_draws_lambda_zero_or_one():
    # A drawn 1 pastes nothing; a drawn 0 pastes a box of the image's size, clipped to no less than about a quarter.
    generator, x = seeded(), torch.zeros(2, 1, 32, 32)
    lams = [cutmix(x, generator, alpha=1e-6, probability=1.0).lam for _ in range(1000)]
    assert stats.binomtest(lams.count(1.0), 1000, 0.5).pvalue > LEVEL
    assert max(lam for lam in lams if lam < 1) <= 0.75


@pytest.mark.parametrize(("alpha", "probability"), [(0.0, 0.5), (-1.0, 0.5), (1.0, -0.1), (1.0, 1.1)])
def test_cutmix_refuses_values_out_of_range(alpha, probability):
    with pytest.raises(ValueError, match="must be"):
        cutmix(torch.zeros(2, 1, 8, 8), seeded(), alpha, probability)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_view_stays_in_range(shape):
    out = ssl_view(pictures(shape, count=256) / 255, seeded())
    assert out.shape == (256, *shape)
    assert out.min() >= 0
    assert out.max() <= 1


@pytest.mark.parametrize("shape", SHAPES)
def test_boxes_are_cut_and_resized_as_by_torchvision(shape):
    x = pictures(shape, count=64) / 255
    boxes = draw_boxes(len(x), *shape[1:], 0.2, seeded())
    expected = [tvf.resized_crop(i, *box.tolist(), size=list(shape[1:])) for i, box in zip(x, boxes.T, strict=True)]
    torch.testing.assert_close(resize_boxes(x, boxes), torch.stack(expected), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_boxes_have_torchvisions_distribution(size):
    ours = draw_boxes(4000, *size, 0.2, seeded())
    crop, image = v2.RandomResizedCrop(size, scale=(0.2, 1.0)), torch.zeros(1, *size)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = [crop.make_params([image]) for _ in range(4000)]
    for row, key in zip(ours, ("top", "left", "height", "width"), strict=True):
        assert stats.ks_2samp(row, [params[key] for params in theirs]).pvalue > LEVEL, key


@pytest.mark.parametrize("shape", SHAPES)
def test_colours_are_jittered_as_by_torchvision(shape):
    x = pictures(shape, count=64) / 255
    amounts = torch.rand((4, len(x), 1, 1, 1), generator=seeded()) * 2 - 1
    expected = []
    for image, (b, c, s, h) in zip(x, amounts.flatten(1).T.tolist(), strict=True):
        lit = tvf.adjust_contrast(tvf.adjust_brightness(image, 1 + 0.4 * b), 1 + 0.4 * c)
        expected.append(tvf.adjust_hue(tvf.adjust_saturation(lit, 1 + 0.2 * s), 0.1 * h))
    torch.testing.assert_close(jitter_colours(x, amounts), torch.stack(expected), atol=1e-4, rtol=0)


def test_each_step_of_a_view_has_its_probability():
    dim = ssl_view(torch.full((4000, 3, 8, 8), 0.3), seeded())[:, 0, 0, 0] / 0.3
    jittered = dim[(dim - 1).abs() > 1e-3]  # torchvision's grey weights add up to 0.9999
    assert stats.binomtest(len(jittered), 4000, 0.8).pvalue > LEVEL
    jitter = v2.ColorJitter(brightness=0.4)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        factors = [jitter.make_params([])["brightness_factor"] for _ in range(4000)]
    assert stats.ks_2samp(jittered, factors).pvalue > LEVEL

    bright = ssl_view(torch.full((4000, 3, 8, 8), 0.9), seeded())
    assert stats.binomtest(int((bright.amax((1, 2, 3)) < 0.5).sum()), 4000, 0.1).pvalue > LEVEL

    coloured = ssl_view((pictures((3, 8, 8), count=8) / 255)[:1].expand(4000, -1, -1, -1), seeded())
    grey = (coloured.amax(1) - coloured.amin(1)).amax((1, 2)) < 1e-5
    assert stats.binomtest(int(grey.sum()), 4000, 0.2).pvalue > LEVEL


def test_resized_crops_hold_to_their_least_area():
    share = draw_boxes(4000, 100, 80, 0.65, seeded())[2:].prod(0) / 8000
    assert 0.64 < share.min() < 0.66 and share.max() > 0.95
    x = pictures((3, 32, 32))
    assert random_resized_crop(x, 1.0, seeded()).equal(x)  # no box fits but the whole image
    levels = resize_boxes(x.float(), draw_boxes(len(x), 32, 32, 0.3, seeded(4)))
    assert (random_resized_crop(x, 0.3, seeded(4)) - levels).abs().max() <= 1
