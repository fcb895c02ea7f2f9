"""How many trials a device trains best at a time: measured with one, two and four, each in a process of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import fsum
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from ...spec.schema import Trial
from .estimates import STEPS, loop_on_noise

TOGETHER = (1, 2, 4)
SECONDS = 5.0  # for which the steps are counted
START_SECONDS = 300.0  # in which a process must have made its first steps


@dataclass(frozen=True)
class Throughput:
    """The steps a second of all trials together, where so many share the device."""

    trials: int
    steps: float


def best(measured: Sequence[Throughput]) -> Throughput:
    """The one with the most steps a second; of equal ones the one with the fewest trials."""
    return max(measured, key=lambda each: (each.steps, -each.trials))


def measured_together(
    trial: Trial, device: torch.device, plugins: Mapping[str, str], most: int, seconds: float = SECONDS
) -> list[Throughput]:
    """Train a trial on random images, once and several times at a time.

    Args:
        trial: Of a learner on images.
        device: What the trials share.
        plugins: The texts of plugin files, by their hashes.
        most: Trials that its memory holds.
        seconds: For how long the steps are counted.

    Returns:
        One for each number of ``TOGETHER``, up to ``most`` and to the first at which a training ended early, as where
        memory ran out.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what this process measured before is no trial's
    trial, measured = trial.model_copy(update={"weights": None}), []  # any weights take the same time
    for together in (number for number in TOGETHER if number <= most):
        steps = _steps_together(together, (trial, device, dict(plugins), seconds))
        if steps is None:
            break
        measured.append(Throughput(together, steps))
    return measured


def _steps_together(together: int, words: tuple[Trial, torch.device, dict[str, str], float]) -> float | None:
    """The steps a second of so many processes that begin at one time; None where one ended early."""
    context = get_context("spawn")  # CUDA survives no fork
    processes, connections = [], []
    try:
        for _ in range(together):
            ours, theirs = context.Pipe()
            process = context.Process(target=_train, args=(theirs, *words), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            connections.append(ours)
        for connection in connections:
            _answer(connection)
        for connection in connections:
            connection.send(None)
        return fsum(_answer(connection) for connection in connections)
    except (EOFError, OSError, TimeoutError):
        return None
    finally:
        for process in processes:
            process.kill()
            process.join()


def _answer(connection: Connection) -> float:
    """TimeoutError where none comes, EOFError where the process ended."""
    if not connection.poll(START_SECONDS):
        raise TimeoutError
    return connection.recv()


def _train(
    connection: Connection, trial: Trial, device: torch.device, plugins: Mapping[str, str], seconds: float
) -> None:
    """Be one of the processes: say when it is warm, wait until all are, and say how many steps a second it made."""
    torch.set_num_threads(trial.threads)
    with suppress(RuntimeError):  # out of memory, of which the silence tells
        loop, _ = loop_on_noise(trial, device, plugins)
        middle = trial.training.epochs // 2
        loop.step_seconds(middle, STEPS)
        connection.send(0.0)
        connection.recv()
        begin, steps = time.perf_counter(), 0
        while (took := time.perf_counter() - begin) < seconds:
            steps += len(loop.step_seconds(middle, STEPS))
        connection.send(steps / took)


def mps_runs() -> bool:
    """Whether the control daemon of NVIDIA's MPS has its pipe where processes started here would look for it."""
    folder = os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps")  # noqa: S108  (NVIDIA's own default)
    return (Path(folder) / "control").exists()
