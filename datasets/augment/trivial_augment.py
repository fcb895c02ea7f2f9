"""TrivialAugmentWide for a whole batch: every sample draws its own operation and its own strength.

Source: Müller and Hutter, TrivialAugment (ICCV 2021, arXiv 2103.10158), in the form of
``torchvision.transforms.v2.TrivialAugmentWide``: 14 operations, 31 strengths, nearest neighbour, black fill.
Torchvision itself is not imported: it brings PyTorch's compiler with it, 1.4 s of processor time in each process.
Each operation gives torchvision's pixels on uint8 images, with two exceptions that tests/datasets/test_augment.py
bounds. Color and Contrast may differ by one grey level where a blend is a whole number but for rounding, mostly where
it is of two equal levels: ours keeps those, torchvision's can end just below them. Rotate may take the neighbouring
pixel where a source point lies half-way between two.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional as nnf

OPERATIONS = (
    *("Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"),
    *("Brightness", "Color", "Contrast", "Sharpness"),
    *("Posterize", "Solarize", "AutoContrast", "Equalize"),
)
_GEOMETRIC = 6  # the first six are affine maps, Identity the one that moves nothing
_BINS = 31


def _magnitudes() -> Tensor:
    """The strength of each operation (14, 31 bins), float32, before the sign."""
    zeros, wide = torch.zeros(_BINS), torch.linspace(0, 0.99, _BINS)
    pixels = torch.linspace(0, 32, _BINS).trunc()
    degrees = torch.linspace(0, 135, _BINS)
    bits = (8 - torch.arange(_BINS) / ((_BINS - 1) / 6)).round()
    # Thresholds are scaled in double precision, as in torchvision: some of them fall upon a grey level.
    thresholds = (torch.linspace(1, 0, _BINS).double() * 255).float()
    geometric = [zeros, wide, wide, pixels, pixels, degrees]
    return torch.stack([*geometric, wide, wide, wide, wide, bits, thresholds, zeros, zeros])


_MAGNITUDES = _magnitudes()
SIGNED = torch.tensor([name not in ("Posterize", "Solarize") for name in OPERATIONS])


def trivial_augment_wide(x: Tensor, generator: Generator) -> Tensor:
    """Apply to each image one operation drawn uniformly, at one of 31 strengths and a random sign.

    Args:
        x: images (B, C, H, W), uint8, C of 1 or 3, H and W at least 3 pixels.
        generator: on the CPU, wherever ``x`` is (see ``datasets.augment``).

    Returns:
        Images of the same shape, dtype and device.

    Raises:
        TypeError: where ``x`` is not uint8; the operations are defined on grey levels.
    """
    return apply_operations(x, *draw_operations(len(x), generator))


def draw_operations(batch: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """The index into OPERATIONS (batch,) int64 and the signed strength (batch,) float32 of each sample, on the CPU.

    The strength is in the operation's unit: shear as a slope, whole pixels, degrees, a factor less one, bits kept, or
    a threshold in grey levels.
    """
    operation = torch.randint(len(OPERATIONS), (batch,), generator=generator)
    strength = torch.randint(_BINS, (batch,), generator=generator)
    negative = torch.randint(2, (batch,), generator=generator).bool() & SIGNED[operation]
    magnitude = _MAGNITUDES[operation, strength]
    return operation, torch.where(negative, -magnitude, magnitude)


def apply_operations(x: Tensor, operation: Tensor, strength: Tensor, bilinear: bool = False) -> Tensor:
    """Apply ``operation[i]`` at ``strength[i]`` to image i.

    Samples are sorted by operation, so that each one is computed only for those that drew it.

    Args:
        x: images (B, C, H, W), uint8.
        operation: (B,), indices into OPERATIONS, on the CPU.
        strength: (B,), in the unit of each operation, on the CPU.
        bilinear: Whether an affine map's pixels are interpolated between the four around a source point, and not those
            of the nearest.

    Returns:
        Images of the same shape, dtype and device.

    Raises:
        TypeError: where ``x`` is not uint8.
    """
    if x.dtype != torch.uint8:
        raise TypeError(f"TrivialAugment is defined on grey levels: x must be uint8, got {x.dtype}")
    order = operation.argsort(stable=True)
    operation, strength = operation[order], strength[order]
    counts = operation.bincount(minlength=len(OPERATIONS)).tolist()
    moved = sum(counts[:_GEOMETRIC])
    theta = _inverse_maps(operation[:moved], strength[:moved], *x.shape[-2:])
    order = order.to(x.device, non_blocking=True)
    images = x[order]
    parts = images[moved:].split(counts[_GEOMETRIC:])
    strengths = strength[moved:].to(x.device, non_blocking=True).view(-1, 1, 1, 1).split(counts[_GEOMETRIC:])
    warp = _warp_bilinearly if bilinear else _warp
    done = [warp(images[:moved], theta.to(x.device, non_blocking=True))]
    done += [kernel(part, s) for kernel, part, s in zip(_KERNELS, parts, strengths, strict=True)]
    return torch.empty_like(x).index_copy_(0, order, torch.cat(done))


def greyscale(x: Tensor) -> Tensor:
    """The luma of images (B, C, H, W), C of 1 or 3, as (B, 1, H, W), with torchvision's weights and rounding."""
    if x.shape[1] == 1:
        return x.clone()
    red, green, blue = x.split(1, dim=1)
    return red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114).to(x.dtype)


def _inverse_maps(operation: Tensor, strength: Tensor, height: int, width: int) -> Tensor:
    """The affine maps (n, 2, 3) from an output pixel (x, y), counted from the image's centre, to its source."""

    def drawn(name: str) -> Tensor:
        return torch.where(operation == OPERATIONS.index(name), strength.double(), 0.0)

    angle = drawn("Rotate").deg2rad()
    shear_x, shear_y = drawn("ShearX"), drawn("ShearY")
    # A shear keeps the first row (or column) where it is, not the centre.
    right = shear_x * height / 2 - drawn("TranslateX")
    down = shear_y * width / 2 - drawn("TranslateY")
    rows = (angle.cos(), shear_x - angle.sin(), right, shear_y + angle.sin(), angle.cos(), down)
    return torch.stack(rows, dim=1).view(-1, 2, 3).float()


def _warp(x: Tensor, theta: Tensor) -> Tensor:
    """Each output pixel is the nearest source pixel under ``theta``, or black where that lies outside.

    By index and not by ``grid_sample``: it stays in uint8, and neither autocast nor TF32 can move a source point.
    """
    _, channels, height, width = x.shape
    ys = torch.arange(height, device=x.device).sub((height - 1) / 2).unsqueeze(1)
    xs = torch.arange(width, device=x.device).sub((width - 1) / 2)
    a, b, c, d, e, f = theta.view(-1, 6, 1, 1).unbind(1)
    column = (a * xs + b * ys + (c + (width - 1) / 2)).round_()
    row = (d * xs + e * ys + (f + (height - 1) / 2)).round_()
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    source = torch.where(inside, row * width + column, 0.0).long().flatten(1).unsqueeze(1)
    moved = x.flatten(2).gather(2, source.expand(-1, channels, -1)).view_as(x)
    return moved * inside.unsqueeze(1)


def _warp_bilinearly(x: Tensor, theta: Tensor) -> Tensor:
    """Each output pixel is interpolated between the four around its source under ``theta``, black beyond the border."""
    height, width = x.shape[-2:]
    # From pixels about the centre to grid_sample's units of -1 to 1, which half of a side is.
    scale = torch.tensor([[1.0, height / width, 2 / width], [width / height, 1.0, 2 / height]])
    grid = nnf.affine_grid(theta * scale.to(x.device, non_blocking=True), list(x.shape), align_corners=False)
    return nnf.grid_sample(x.float(), grid, align_corners=False).round_().clamp_(0, 255).to(torch.uint8)


def _blend(x: Tensor, other: Tensor | float, strength: Tensor) -> Tensor:
    """Move each image away from ``other`` (strength > 0) or towards it (< 0; -1 would arrive there)."""
    levels = x.float()
    return torch.addcmul(levels, strength, levels - other).clamp_(0, 255).to(torch.uint8)


def _brightness(x: Tensor, strength: Tensor) -> Tensor:
    return _blend(x, 0.0, strength)


def _color(x: Tensor, strength: Tensor) -> Tensor:
    return _blend(x, greyscale(x), strength)


def _contrast(x: Tensor, strength: Tensor) -> Tensor:
    return _blend(x, greyscale(x).float().mean(dim=(1, 2, 3), keepdim=True), strength)


def _sharpness(x: Tensor, strength: Tensor) -> Tensor:
    """The other image is smoothed by a 3 x 3 kernel of ones with a 5 in the middle; the border stays as it is."""
    smooth = x.float()
    inner = smooth[..., 1:-1, 1:-1]
    inner.copy_(nnf.avg_pool2d(smooth, 3, 1).mul_(9).add_(inner, alpha=4).div_(13).round_())
    return _blend(x, smooth, strength)


def _posterize(x: Tensor, bits: Tensor) -> Tensor:
    dropped = (8 - bits).to(torch.uint8)
    return (x >> dropped) << dropped


def _solarize(x: Tensor, threshold: Tensor) -> Tensor:
    return torch.where(x >= threshold, 255 - x, x)


def _autocontrast(x: Tensor, _: Tensor) -> Tensor:
    """Each channel's levels are stretched to 0 to 255; one of a single level stays as it is."""
    levels = x.float()
    least, most = levels.amin((-2, -1), keepdim=True), levels.amax((-2, -1), keepdim=True)
    flat = least == most
    scale = torch.where(flat, 1.0, (most - least).mul_(1 / 255))
    return levels.sub_(torch.where(flat, 0.0, least)).div_(scale).clamp_(0, 255).to(torch.uint8)


def _equalize(x: Tensor, _: Tensor) -> Tensor:
    """Each channel's levels are made equally frequent, by the table that PIL makes of their cumulative histogram; a
    channel where PIL's whole-numbered step is 0 stays as it is."""
    pixels = x.flatten(2).long()
    histogram = pixels.new_zeros((*x.shape[:2], 256), dtype=torch.int32)
    histogram.scatter_add_(2, pixels, histogram.new_ones(1).expand_as(pixels))
    below = histogram.cumsum(2)
    highest = histogram.gather(2, below.argmax(2, keepdim=True))  # of the highest level that occurs
    step = (pixels.shape[2] - highest).div_(255, rounding_mode="floor")
    table = (below[..., :-1] + step // 2).div_(step.clamp(min=1), rounding_mode="floor").clamp_(0, 255)
    table = nnf.pad(table, (1, 0)).to(torch.uint8)
    return torch.where(step.unsqueeze(3) == 0, x, table.gather(2, pixels).view_as(x))


# In the order of OPERATIONS, after the geometric ones.
_KERNELS = (
    *(_brightness, _color, _contrast, _sharpness),
    *(_posterize, _solarize, _autocontrast, _equalize),
)
