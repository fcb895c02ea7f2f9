"""Many large images: memory and seconds to decode them once, to start a trial, and images a second while one trains,
beside a plain DataLoader that decodes anew in every epoch.

    python benchmarks/training/large_images.py --images 100000

The JPEGs are copies of a few templates that differ in their last bytes: distinct files that cost what others cost to
read, hash and decode. Each step runs in a process of its own; its memory is RssAnon of /proc, the most that was seen,
which leaves out the pages of mapped files: the system takes those back when it needs them. Folder and cache lie in
--folder, which is removed in the end.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from tailboard.benchmarks.machine_load import say_load
from tailboard.datasets.augment.basic import random_flip
from tailboard.datasets.augment.resized_crop import random_resized_crop
from tailboard.datasets.user_images.dataset import resolve
from tailboard.datasets.user_images.source import source_of
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.training.device_images import DeviceData, on_device
from tailboard.harness.training.scoring_process import ScoringProcess

MEASURED = (  # rows of docs/benchmarks.md: what, measured, arguments, machine
    (
        "100,000 JPEGs of 224 pixels scanned, decoded and measured",
        "653 s, at most 640 MiB of memory beside the mapped file",
        "--images 100000",
        "2 cores of an AMD EPYC under a load of 12",
    ),
    (
        "of these, until a new process has the images of its first trial",
        "126 s: the fingerprint of the split reads every image once; 11 s of the next trial of the seed",
        "--images 100000",
        "2 cores of an AMD EPYC under a load of 12",
    ),
    (
        "of these, images a second on one thread after the first epoch, over a DataLoader with one worker",
        "3.3 (184 over 55); by processor time 2.1 (1,053 over 504)",
        "--images 100000",
        "2 cores of an AMD EPYC under a load of 12",
    ),
)

SIDE, CLASSES, TEMPLATES, BATCH, LEAST = 224, 10, 100, 128, 0.65


def make_jpegs(folder: Path, images: int) -> None:
    """JPEGs in class folders, a tenth of them in each."""
    rng, encoded = np.random.default_rng(0), []
    for _ in range(TEMPLATES):
        coarse = Image.fromarray(rng.integers(0, 256, (14, 14, 3), dtype=np.uint8)).resize((SIDE, SIDE))
        noisy = np.asarray(coarse).astype(int) + rng.integers(-12, 13, (SIDE, SIDE, 3))
        file = io.BytesIO()
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=85)
        encoded.append(file.getvalue())
    for label in range(CLASSES):
        (folder / f"class{label}").mkdir(parents=True)
    for number in range(images):
        data = encoded[number % TEMPLATES] + number.to_bytes(8, "big")
        (folder / f"class{number % CLASSES}" / f"{number:06d}.jpg").write_bytes(data)


class Peak:
    """The most anonymous memory of this process since it was made, in MiB."""

    def __init__(self) -> None:
        self.most = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            lines = Path("/proc/self/status").read_text().splitlines()
            self.most = max(self.most, *(int(line.split()[1]) // 1024 for line in lines if line.startswith("RssAnon")))
            time.sleep(0.05)


def decode(folder: Path) -> dict[str, float]:
    start = time.perf_counter()
    resolve(source_of({"name": f"folder:{folder}"}, Path()))
    return {"seconds": time.perf_counter() - start}


def start_trial(folder: Path) -> dict[str, float]:
    """What passes until a new process has a trial's training images, and until it has those of the next trial."""
    trials = _trials(folder)
    seconds = {}
    scoring = ScoringProcess()
    for name, trial in zip(("first trial", "second trial"), trials, strict=True):
        start = time.perf_counter()
        images = scoring.split(trial, None, True).images
        on_device(images.x, torch.device("cpu"))[torch.arange(BATCH)]
        seconds[name] = time.perf_counter() - start
    scoring.close()
    return seconds


def epochs(folder: Path, images: int, cpus: int) -> dict[str, float]:
    """Images a second, ours and a DataLoader's in turn, four epochs each: the medians after the first."""
    torch.set_num_threads(cpus)
    split = ScoringProcess().split(_trials(folder)[0], None, True).images
    one = torch.ones(3)
    material = DeviceData(on_device(split.x, torch.device("cpu")), torch.from_numpy(split.y), one * 0.5, one * 0.25)
    plain = transforms.Compose(
        [transforms.RandomResizedCrop(SIDE, (LEAST, 1)), transforms.RandomHorizontalFlip(), transforms.ToTensor(),
         transforms.Normalize([0.5] * 3, [0.25] * 3)]
    )  # fmt: skip
    chosen = torch.randperm(len(split.y), generator=torch.Generator().manual_seed(0))[:images]
    loader = DataLoader(Subset(ImageFolder(str(folder), plain), chosen.tolist()), BATCH, shuffle=True, num_workers=cpus)
    rounds: dict[str, list[float]] = {}
    for _ in range(4):
        for name, batches in (("tailboard", _ours(material, chosen)), ("DataLoader", (x for x, _ in loader))):
            wall, cpu = time.perf_counter(), _cpu_seconds()
            seen = sum(len(batch) for batch in batches)
            rounds.setdefault(f"{name}, images a second", []).append(seen / (time.perf_counter() - wall))
            rounds.setdefault(f"{name}, images a CPU second", []).append(seen / (_cpu_seconds() - cpu))
    speeds = {name: statistics.median(values[1:]) for name, values in rounds.items()}
    for unit in ("images a second", "images a CPU second"):
        speeds[f"ratio, {unit}"] = speeds[f"tailboard, {unit}"] / speeds[f"DataLoader, {unit}"]
    return speeds


def _cpu_seconds() -> float:
    """Of this process and of its workers that have ended."""
    return sum(os.times()[:4])


def _ours(material: DeviceData, chosen: torch.Tensor):
    """Batches as the loop makes them of its order."""
    generator = torch.Generator().manual_seed(0)
    order = chosen[torch.randperm(len(chosen), generator=generator)]
    batches = order.split(BATCH)
    if not isinstance(material.x, torch.Tensor):
        material.x.announce(batches, order)
    for batch in batches:
        x = random_flip(random_resized_crop(material.x[batch], LEAST, generator), generator)
        yield material.normalised(material.pixels(x), keep=False)


def _trials(folder: Path):
    words = {"name": "large", "data": f"folder:{folder}", "methods": ["ERM", "Reweighting"], "network": "small"}
    return plan(parse(words | {"seeds": 1}))


STEPS = {"decode": decode, "start": start_trial, "epochs": epochs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--epoch", type=int, default=4000, help="Images of an epoch whose speed is measured.")
    parser.add_argument("--cpus", type=int, default=1, help="Threads of a trial, and workers of the DataLoader.")
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        peak = Peak()
        more = [asked.epoch, asked.cpus] if asked.step == "epochs" else []
        print(json.dumps(STEPS[asked.step](asked.folder, *more) | {"anonymous MiB": peak.most}))
        return
    say_load()
    folder = Path(tempfile.mkdtemp(prefix="tb-large-", dir=asked.folder))
    try:
        start = time.perf_counter()
        make_jpegs(folder / "images", asked.images)
        print(f"{asked.images} JPEGs made in {time.perf_counter() - start:.0f} s", flush=True)
        for step in STEPS:
            command = [sys.executable, __file__, "--step", step, "--folder", str(folder / "images")]
            environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
            command += ["--epoch", str(asked.epoch), "--cpus", str(asked.cpus)]
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            for name, value in json.loads(done.stdout.splitlines()[-1]).items():
                print(f"{step:8} {name:48} {value:10.1f}", flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
