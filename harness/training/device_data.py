"""What a run learns from, on the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Material:
    """Images to learn from, on the device: uint8 ``x`` (N, channels, H, W), int64 ``y`` (N,), and how to normalise."""

    x: torch.Tensor
    y: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor

    def pixels(self, x: torch.Tensor) -> torch.Tensor:
        """uint8 to [0, 1], in the memory layout in which convolutions are fast."""
        return x.to(self.mean.dtype).div_(255).contiguous(memory_format=torch.channels_last)

    def normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        return (pixels - self.mean[:, None, None]) / self.std[:, None, None]
