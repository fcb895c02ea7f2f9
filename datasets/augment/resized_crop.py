"""Random resized crops of a whole batch: a part of each image, of a size and place of its own, scaled to the whole.

Source: Szegedy et al., Going deeper with convolutions (arXiv 1409.4842), section 6. The generator is on the CPU,
wherever the batch is (see ``datasets.augment``).
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as nnf

RATIO = (3 / 4, 4 / 3)
TRIES = 10


def random_resized_crop(x: Tensor, least: float, generator: Generator) -> Tensor:
    """Cut a box, of at least the share ``least`` of the area, out of each image and scale it to the image's own size.

    Args:
        x: images (B, C, H, W), uint8.
        least: in (0, 1].
        generator: on the CPU.

    Returns:
        Images of the same shape, dtype and device; on a CPU and a GPU the same but for rounding, by one grey level.
    """
    boxes = draw_boxes(len(x), x.shape[2], x.shape[3], least, generator)
    if x.device.type == "cpu":  # torchvision resizes bytes there, one image at a time, in a third of the time
        from torchvision.transforms.v2.functional import resized_crop

        cut = zip(x, *boxes.tolist(), strict=True)
        return torch.stack([resized_crop(image, t, left, h, w, list(x.shape[2:])) for image, t, left, h, w in cut])
    return resize_boxes(x.float(), boxes).round_().to(torch.uint8)


def draw_boxes(batch: int, height: int, width: int, least: float, generator: Generator) -> Tensor:
    """A box for each sample: (4, batch) int64 of top, left, height, width in pixels, on the CPU.

    The area is at least the share ``least`` of the image's. It and the aspect ratio are drawn as in torchvision's
    RandomResizedCrop: anew, up to 10 times, until the box fits; a sample that never had one that fits keeps its whole
    image.

    Args:
        batch: How many samples.
        height: Of the images, in pixels.
        width: Of the images, in pixels.
        least: The smallest share of an image's area, from 0 to 1.
        generator: Where the draws come from.
    """
    area, ratio, *place = torch.rand((4, TRIES, batch), generator=generator, dtype=torch.float64)
    area = height * width * (least + area * (1.0 - least))
    ratio = torch.exp(math.log(RATIO[0]) + ratio * math.log(RATIO[1] / RATIO[0]))
    sides = torch.stack([(area / ratio).sqrt().round(), (area * ratio).sqrt().round()])
    whole = torch.tensor([height, width]).view(2, 1, 1)
    fits = ((sides > 0) & (sides <= whole)).all(0)
    sides = torch.where(fits, sides, whole)
    corner = (torch.stack(place) * (whole - sides + 1)).floor()
    first = fits.byte().argmax(0)
    return torch.cat([corner, sides])[:, first, torch.arange(batch)].long()


def resize_boxes(x: Tensor, boxes: Tensor) -> Tensor:
    """Cut a box out of each image of ``x`` (B, C, H, W) and resize it, bilinearly, to H x W.

    ``boxes`` is (4, B) as from :func:`draw_boxes`; each must lie within its image.
    """
    top, left, height, width = boxes.to(x, non_blocking=True)
    rows = _sources(top, height, x.shape[-2])
    columns = _sources(left, width, x.shape[-1])
    grid = torch.stack(torch.broadcast_tensors(columns.unsqueeze(1), rows.unsqueeze(2)), dim=-1)
    return nnf.grid_sample(x, grid, padding_mode="border", align_corners=False)


def _sources(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Where each of ``size`` output pixels reads, (B, size), in grid_sample's units of -1 to 1 across the image.

    Held within the centres of the box's own pixels, so that nothing outside the box is blended in.
    """
    start, length = start.unsqueeze(1), length.unsqueeze(1)
    steps = torch.arange(size, device=start.device) + 0.5
    pixel = (steps * (length / size)).clamp(min=0.5).minimum(length - 0.5) + start
    return pixel * (2 / size) - 1
