"""Predictions of many image files, as CSV, a row an image. Files are read and predicted a few at a time."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np

from ...datasets.catalog import DataError
from ...datasets.user_images.pictures import SUFFIXES
from ..errors import ModelError
from .csv_output import cell
from .model import Model


def image_files(places: Iterable[Path]) -> Iterator[Path]:
    """The files among some paths and, of folders, the images below them in the order of their names. Hidden files and
    links to folders are passed over; a path at which nothing is stays, for whoever reads it to say."""
    for place in places:
        if not place.is_dir():
            yield place
            continue
        for folder, folders, files in os.walk(place):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            yield from (
                Path(folder) / name
                for name in sorted(files)
                if name.lower().endswith(SUFFIXES) and not name.startswith(".")
            )


def write_predictions(
    model: Model,
    places: Sequence[Path],
    goal: TextIO,
    prior: str | Mapping[str, float] | None,
    say: Callable[[str], None],
) -> tuple[int, int]:
    """Write a header and a row for each image: its path, the likeliest class, its probability, and that of each class.

    Args:
        model: What predicts.
        places: Image files, and folders that are walked.
        goal: Where the CSV goes.
        prior: As in ``Model.predict``.
        say: Is told of each image that cannot be read, in a line; the rest goes on.

    Returns:
        How many images were predicted, and how many could not be read.

    Raises:
        ModelError: for a prior that is none, or where there is no image.
    """
    shares, table = model.shares(prior), csv.writer(goal, lineterminator="\n")
    table.writerow(["image", "label", "probability", *(f"p_{cell(name)}" for name in model.classes)])
    predicted = unreadable = 0
    files = image_files(places)
    while several := list(islice(files, model.batch_size)):
        readable = []
        for path in several:
            try:
                readable.append((path, model.pixels(path)))
            except (DataError, OSError) as error:
                why = f"{path} cannot be read: {error.strerror or error}" if isinstance(error, OSError) else str(error)
                say(why)
                unreadable += 1
        if readable:
            found = model.predictions(np.stack([x for _, x in readable]), shares)
            for (path, _), name, each in zip(readable, found.labels, found.probabilities, strict=True):
                table.writerow([cell(str(path)), cell(name), f"{each.max():.6g}", *(f"{p:.6g}" for p in each)])
            predicted += len(readable)
    if not predicted and not unreadable:
        raise ModelError(f"there are no images in {', '.join(map(str, places))} ({', '.join(SUFFIXES)})")
    return predicted, unreadable
