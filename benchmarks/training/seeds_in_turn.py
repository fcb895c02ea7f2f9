"""Several seeds of one experiment in one process, a step of each in turn: what seeds that are fused are measured
against, in ``gpu.py --only fused``.

Each seed draws its batches, as it does alone. On a GPU what it asks of the device goes through a stream of its own, so
that the passes of the seeds may overlap there; the host launches them one after the other, or, where the passes and the
descent of a seed are one CUDA graph, replays them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from tailboard.harness.training.loop import TrainingLoop
from tailboard.methods.part import ClassWeights

WARM = 3  # steps before a graph is captured: libraries choose their kernels, and momentum gets its memory
Advance = Callable[[torch.Tensor, int, ClassWeights], torch.Tensor]  # images of a step, epoch, weights -> its loss


def streams(number: int, device: torch.device) -> list[torch.cuda.Stream | None]:
    """One for each seed; None where there are none."""
    return [torch.cuda.Stream(device) if device.type == "cuda" else None for _ in range(number)]


def inside(stream: torch.cuda.Stream | None) -> AbstractContextManager:
    """What is asked of the device inside goes through that stream."""
    return torch.cuda.stream(stream) if stream else nullcontext()


def in_turn(
    loops: Sequence[TrainingLoop], advances: Sequence[Advance], through: Sequence[torch.cuda.Stream | None]
) -> Iterator[list[list[float]]]:
    """Train, one epoch at a time.

    Args:
        loops: One for each seed, at their start.
        advances: What makes a step of each.
        through: The stream of each.

    Yields:
        The losses of each seed in that epoch.
    """
    first = loops[0]
    seeds = list(zip(loops, advances, through, strict=True))
    for epoch in range(first.training.epochs):
        begun = [loop._begin(epoch) for loop in loops]
        losses = torch.empty(len(loops), first.steps_per_epoch, device=first.scene.device)
        for stream in filter(None, through):
            stream.wait_stream(torch.cuda.current_stream())
        for index in range(first.steps_per_epoch):
            step = epoch * first.steps_per_epoch + index
            for own, (loop, advance, stream), (order, weights) in zip(losses, seeds, begun, strict=True):
                with inside(stream):
                    loop._set_rate(step)
                    own[index] = advance(order[index], epoch, weights)
                    if loop.training.ema:
                        loop.average.update(step)
        for stream in filter(None, through):
            torch.cuda.current_stream().wait_stream(stream)
        yield losses.tolist()


class FixedStep:
    """A step of ERM on images that are always at the same place in memory, as a CUDA graph needs them: each batch is
    copied there."""

    def __init__(self, loop: TrainingLoop) -> None:
        self.loop = loop
        order, weights = loop._begin(0)
        batch = loop._objective(order[0], 0, weights).batch
        self.fixed = [tensor.clone() for tensor in batch[:3]]  # images, their classes, the classes mixed in
        self.share, self.rate, self.loss = (torch.zeros((), device=loop.scene.device) for _ in range(3))
        self.made: Callable[[], object] = self.make

    def make(self) -> None:
        """Both passes and the descent."""
        loop, (x, y, other) = self.loop, self.fixed
        for group in loop.optimizer.param_groups:
            group["lr"] = self.rate
        loop.optimizer.zero_grad(set_to_none=True)
        with loop._autocast():
            torch.set_autocast_cache_enabled(False)  # a graph must not use what was cast before it
            logits = loop.model(x)
        own, mixed_in = (loop.loss(logits.float(), each, loop.epsilon[each]) for each in (y, other))
        loss = (self.share * own + (1 - self.share) * mixed_in).mean()
        loss.backward()
        loop.optimizer.step()
        self.loss.copy_(loss.detach())

    def __call__(self, chosen: torch.Tensor, epoch: int, weights: ClassWeights) -> torch.Tensor:
        """As :meth:`TrainingLoop._advance`."""
        rate = self.loop.optimizer.param_groups[0]["lr"]
        batch = self.loop._objective(chosen, epoch, weights).batch
        for place, fresh in zip(self.fixed, batch[:3], strict=True):
            place.copy_(fresh)
        self.share.fill_(batch.share)
        self.rate.fill_(rate)
        self.made()
        return self.loss

    def capture(self, stream: torch.cuda.Stream) -> None:
        """From now on the step is replayed."""
        self.made = captured(self.make, self.loop.optimizer, stream)


def captured(
    step: Callable[[], object], optimizer: torch.optim.Optimizer, stream: torch.cuda.Stream
) -> Callable[[], object]:
    """What a step asks of the device, as one CUDA graph.

    Args:
        step: What is captured, after it was made a few times.
        optimizer: Whose gradients are the graph's own.
        stream: Where it is captured, and is to be replayed.

    Returns:
        The graph's replay.
    """
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    optimizer.zero_grad(set_to_none=True)
    with torch.cuda.graph(graph, stream=stream):
        step()
    return graph.replay


def with_streams(loops: Sequence[TrainingLoop], device: torch.device) -> Iterator[list[list[float]]]:
    """Epochs of all seeds, a stream each."""
    return in_turn(loops, [loop._advance for loop in loops], streams(len(loops), device))


def with_graphs(loops: Sequence[TrainingLoop], device: torch.device) -> Iterator[list[list[float]]]:
    """Epochs of all seeds, each with a stream and a CUDA graph of its step."""
    steps, through = [FixedStep(loop) for loop in loops], streams(len(loops), device)
    for step, stream in zip(steps, through, strict=True):
        if stream:
            step.capture(stream)
    return in_turn(loops, steps, through)
