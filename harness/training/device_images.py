"""Where a trial's images are while it trains, and how a network sees them.

They are on the device where they are few enough, else in the mapped file on disk, which all trials of the machine
share, from where each batch is read while the one before is trained on. Which of the two is no matter of the numbers:
both give the same bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from ...datasets.rows import Rows

MOST_IN_MEMORY = 2**30  # bytes of images that a trial on a CPU copies for itself
SHARE_OF_GPU = 1 / 8  # of the memory of a GPU that one trial's images may take; trials share one
AHEAD = 2  # batches that are read before they are asked for


def most_bytes(device: torch.device) -> int:
    """The bytes of images up to which all of them are copied to a device."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory * SHARE_OF_GPU)
    return MOST_IN_MEMORY


def on_device(x: np.ndarray | Rows, device: torch.device, fused: int = 1) -> torch.Tensor | MappedImages:
    """Images (N, channels, H, W), of which a tensor of positions on the device takes a batch there.

    Args:
        x: The images.
        device: Where they are trained on.
        fused: How many seeds are trained as one, which share what one trial may take.
    """
    if isinstance(x, Rows) and x.nbytes * fused > most_bytes(device):
        return MappedImages(x, device)
    return torch.from_numpy(np.asarray(x)).to(device)


def split(x: torch.Tensor | Rows, size: int) -> Iterator[torch.Tensor]:
    """The images in their order, ``size`` at a time."""
    for start in range(0, len(x), size):
        part = x[start : start + size]
        yield part if isinstance(part, torch.Tensor) else torch.from_numpy(part)


class MappedImages:
    """Images in a mapped file, of which batches are copied to the device."""

    def __init__(self, rows: Rows, device: torch.device) -> None:
        self.device = device
        self._rows = rows
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="images")
        self._waiting: deque[tuple[torch.Tensor, torch.Tensor]] = deque()
        self._read: deque[tuple[torch.Tensor, Future[torch.Tensor]]] = deque()

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, chosen: torch.Tensor) -> torch.Tensor:
        """A batch by its positions (B,): the next that was announced, or any other."""
        if self._read and self._read[0][0] is chosen:
            batch = self._read.popleft()[1].result()
            self._read_ahead()
        else:
            batch = self._batch(chosen.cpu())
        return batch.to(self.device, non_blocking=True)

    def announce(self, batches: Sequence[torch.Tensor], order: torch.Tensor) -> None:
        """Read ahead what is going to be asked for: ``batches`` on the device, of which ``order`` holds all on the
        CPU."""
        for _, read in self._read:
            read.cancel()
        self._read.clear()
        self._waiting = deque(zip(batches, order.split([len(batch) for batch in batches]), strict=True))
        self._read_ahead()

    def _read_ahead(self) -> None:
        while self._waiting and len(self._read) < AHEAD:
            chosen, positions = self._waiting.popleft()
            self._read.append((chosen, self._thread.submit(self._batch, positions)))

    def _batch(self, positions: torch.Tensor) -> torch.Tensor:
        batch = torch.from_numpy(self._rows[positions.numpy()])
        return batch.pin_memory() if self.device.type == "cuda" else batch


@dataclass(frozen=True)
class DeviceData:
    """Images to learn from: uint8 ``x`` (N, channels, H, W), of which batches are taken on the device of int64 ``y``
    (N,), and how to normalise."""

    x: torch.Tensor | MappedImages
    y: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor

    def pixels(self, x: torch.Tensor) -> torch.Tensor:
        """uint8 to [0, 1], in the memory layout in which convolutions are fast."""
        return x.contiguous(memory_format=torch.channels_last).to(self.mean.dtype).div_(255)

    def prepared(self, x: torch.Tensor | Rows) -> torch.Tensor | Rows:
        """What the data set has, as ``x`` is: images need nothing."""
        return x

    def all(self) -> torch.Tensor:
        """All images on the device, where there are few."""
        return self.x[torch.arange(len(self.x), device=self.y.device)]

    def images(self, label: int, most: int) -> torch.Tensor:
        """Of one class at most so many, in the data set's order, as pixels in [0, 1]."""
        return self.pixels(self.x[(self.y == label).nonzero().squeeze(1)[:most]])

    def normalised(self, pixels: torch.Tensor, keep: bool = True) -> torch.Tensor:
        """``pixels`` (B, channels, H, W) less the mean of each channel, over its standard deviation; in their memory
        where they need not be kept."""
        mean, std = self.mean[:, None, None], self.std[:, None, None]
        return (pixels - mean if keep else pixels.sub_(mean)).div_(std)
