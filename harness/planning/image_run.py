"""A spec for images of the user's own from one line of the command, with defaults that fit the data and the time.

It is resolved once: the store keeps it as its plan, under a name that follows from what was asked, so that the same
command goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...datasets.user_images.image_sets import source_of
from ...datasets.user_images.source import HINT
from ...methods.plugin import read_plugin
from ..errors import SpecError
from ..spec.parser import parse, parse_data, read
from ..spec.plugin_files import with_plugin_files
from ..spec.schema import Data, Spec
from ..spec.user_files.contents import Contents
from ..storage import paths
from ..storage.store import Store
from ..text import listed
from .calibration.estimates import calibrate, kind
from .request import RunRequest

SEEDS = 5  # below, the report calls nothing better
STEPS = 3000  # of a training, about, where no time is given
FEWEST_EPOCHS, MOST_EPOCHS = 20, 100
BATCHES = (16, 32, 64, 128)
BATCHES_AN_EPOCH = 20  # at least, where the images are enough for it
SHARE_OF_TIME = 0.8  # that steps take; the rest is starting, scoring and writing
SHARES = 4  # trials on one GPU


@dataclass(frozen=True)
class ImageRequest:
    """What the command line asks for: ``data`` as ``folder:PATH``, and what differs from the defaults; ``label``,
    ``group`` and ``weight`` name columns. The methods of the files ``plugins`` are compared too."""

    data: str
    label: str | None = None
    methods: str | None = None  # names, with commas between them
    network: str | None = None
    seeds: int = SEEDS
    minutes: float | None = None
    group: str | None = None
    weight: str | None = None
    plugins: Sequence[Path] = ()

    @property
    def plugin_hashes(self) -> list[str]:
        """The SHA-256 of each plugin's text. MethodError where one cannot be read."""
        return [hashlib.sha256(read_plugin(file).encode()).hexdigest() for file in self.plugins]

    @property
    def words(self) -> dict[str, str]:
        """What a spec would say of the data: where they are, and the columns that were named."""
        named = {name: getattr(self, name) for name in ("label", "group", "weight")}
        return {"name": self.data} | {name: column for name, column in named.items() if column}


def resolve(
    request: ImageRequest, store: str | None, say: Callable[[str], None], root: Path | None = None
) -> tuple[Spec, Store]:
    """The spec that the request stands for, and the store that it is run into.

    Args:
        request: What was asked.
        store: The store; ``runs/NAME`` after the folder or file if not given.
        say: Is told what was decided, line by line.
        root: The folder that holds image sets such as ``eurosat``.

    Raises:
        DataError: where the images cannot be trained on. SpecError where the time is too short for an epoch.
    """
    data = parse_data(request.words, root=root)
    if data.contents is None:
        raise SpecError(
            f"--data: {request.data!r} is no place of images. {HINT} A known data set is compared by a spec, which "
            "tailboard init writes."
        )
    gpu = torch.cuda.is_available()
    words = [request.methods, request.network, request.seeds, request.minutes]
    asked = [data.canonical, *words, gpu, *request.plugin_hashes]
    name, place, kept = named(source_of(request.words, Path(), root).path.stem, "images", asked, store)
    if kept:
        return kept, place
    raw = _raw(name, data, request, gpu)
    spec = with_plugin_files(parse(raw), request.plugins)
    if request.minutes:
        say(f"measuring a few steps of each method, to fit into {request.minutes:g} minutes")
        raw = _with_epochs(raw, _epochs_within(spec, request.minutes))
        spec = with_plugin_files(parse(raw), request.plugins)
    training = spec.trainings[0]
    say(
        f"{data.name}: {sum(data.contents.available)} + {sum(data.contents.tested)} images of "
        f"{len(data.contents.classes)} classes; {len(spec.methods)} methods x {len(spec.seeds)} seeds of "
        f"{spec.networks[0]}, {training.epochs} epochs, batches of {training.batch_size}"
    )
    return spec, place


def named(stem: str, else_: str, asked: list[Any], store: str | None) -> tuple[str, Store, Spec | None]:
    """The name of a spec that follows from what was asked, its store, and the spec where that holds it already.

    Args:
        stem: The first part of the name, as files are called; ``else_`` where no sign of it can be kept.
        else_: See ``stem``.
        asked: All that the spec follows from.
        store: The store; ``runs/NAME`` if not given.
    """
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("._-")[:60] or else_
    name = f"{stem}-{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:8]}"
    place = Store(store or f"runs/{stem}")
    held = place.plans() if place.has(paths.plan(name)) else ()
    return name, place, next((spec for spec in held if spec.name == name), None)


def _raw(name: str, data: Data, request: ImageRequest, gpu: bool) -> dict[str, Any]:
    """The spec's words."""
    assert isinstance(data.contents, Contents)  # noqa: S101  (for the type checker)
    shape, images = data.contents.shape, sum(data.contents.available)
    network = request.network or (
        "small" if not gpu else "resnet32" if max(shape[1:]) <= 64 else "torchvision:resnet18"
    )
    batch = max((size for size in BATCHES if size * BATCHES_AN_EPOCH <= images), default=BATCHES[0])
    epochs = min(MOST_EPOCHS, max(FEWEST_EPOCHS, round(STEPS / max(1, images // batch))))
    if request.methods is None:  # the paper's nine and a control, with a narrower expander beside a small network
        entrants = read("quickstart" if network == "small" else "table5").methods
        methods = [{"name": entrant.name, "values": entrant.values} for entrant in entrants]
    else:
        methods = [{"name": name} for name in listed(request.methods)]
    raw = {
        "name": name,
        "data": [data.model_dump(mode="json", exclude_none=True)],
        "methods": methods,
        "network": network,
        "training": {"preset": "t5", "batch_size": batch, "crop_padding": max(1, min(shape[1:]) // 8)},
        "seeds": request.seeds,
        "resources": {"cpu": 1, "gpu": 1 / SHARES if gpu else 0},
    }
    return _with_epochs(raw, epochs)


def _with_epochs(raw: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    return {**raw, "training": {**raw["training"], "epochs": epochs, "warmup_epochs": min(5, epochs / 4)}}


def _epochs_within(spec: Spec, minutes: float) -> int:
    """How many epochs of every trial fit into the time on this machine. SpecError where not even one does."""
    needed = RunRequest.of(spec).plan.dependencies
    trials = Counter(kind(trial) for trial in needed.trials)
    epochs = spec.trainings[0].epochs
    seconds = sum(e.whole / epochs * trials[kind(e.trial)] for e in calibrate(spec, needed))
    at_once = 1 if spec.resources.gpu else max(1, int((os.cpu_count() or 1) // spec.resources.cpu))
    fit = int(minutes * 60 * SHARE_OF_TIME * at_once / seconds)
    if fit < 1:
        least = seconds / (60 * SHARE_OF_TIME * at_once)
        shown = f"{least:.1f}" if least >= 1 else f"{least:.2g}"
        raise SpecError(
            f"--minutes: one epoch of all {len(needed.trials)} trials takes about {shown} minutes here, more "
            f"than {minutes:g}: give more, or fewer --methods or --seeds, or a smaller --network"
        )
    return min(fit, MOST_EPOCHS)
