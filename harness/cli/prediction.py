"""``tailboard train`` and ``predict``: a model of a store's method, and what it says of images or rows."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import ModelError
from .options import NoVerify, Root, print_output, print_status

app = typer.Typer()


@app.command(epilog='Example: tailboard train runs/photos --method "M2m" -o m2m.model --onnx m2m.onnx')
def train(
    store: Annotated[str, typer.Argument(metavar="STORE", help="What a run was run into.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The model file.")],
    method: Annotated[str | None, typer.Option(help="A row of the store's table; its first seed is trained.")] = None,
    key: Annotated[str | None, typer.Option(help="Instead: one trial by its key.")] = None,
    onnx: Annotated[Path | None, typer.Option(help="Write the model as ONNX too.")] = None,
    root: Root = None,
    no_verify: NoVerify = False,
    plugin: Annotated[
        list[Path] | None, typer.Option(help="A plugin's file that may run where the store has it.")
    ] = None,
    trust: Annotated[bool, typer.Option("--trust-plugins", help="Run the code that the store brings.")] = False,
) -> int:
    """Train a method of a store on its training and validation images, as its row says, and save the model.

    The trial of the row's first seed is trained again, exactly; test images are only looked at to see that. A second
    trial without some of the images tells how sure to be. Interrupted, the same command goes on.
    """
    from ...methods.plugin import read_plugin
    from ..prediction import choice, onnx_export
    from ..prediction.fit import Fit
    from ..prediction.table_model import TableModel
    from ..scheduling.processes import ended_by_sigterm
    from ..storage.store import Store

    if (method is None) == (key is None):
        raise ModelError("train: name a method with --method, or a trial with --key")
    if onnx is not None:
        onnx_export.require_onnx()
    for option, file in (("-o", output), ("--onnx", onnx)):  # before anything trains
        if file is not None and file.is_dir():
            raise ModelError(f"{option}: {file} is a folder: name the file")
    place = Store(store)
    trusted = choice.Trust([read_plugin(file) for file in plugin or ()], trust)
    chosen = choice.by_key(place, key, trusted) if key else choice.by_method(place, str(method), trusted)
    if onnx is not None and chosen.trial.training.learner != "images":
        raise ModelError("--onnx: only a network on images is written as ONNX, and this is a model of a table")
    workplace = Store(output.with_name(f".{output.name}.training"))
    Path(workplace.root).mkdir(parents=True, exist_ok=True)
    with ended_by_sigterm():
        model = Fit(place, chosen, workplace, root.resolve() if root else None, not no_verify, print_status).model()
    model.save(output)
    if onnx is not None and not isinstance(model, TableModel):
        onnx_export.write_onnx(model, onnx)
    shutil.rmtree(workplace.root, ignore_errors=True)
    about, of_rows = model.description, isinstance(model, TableModel)
    what, given = ("rows", "TABLE.csv -o OUT.csv") if of_rows else ("images", "IMAGES...")
    print_output(
        f"{output}: {about.trial.method.name} on {about.trial.data.name}, {sum(about.counts)} {what} of "
        f"{len(model.classes)} classes; tailboard predict {output} {given}"
    )
    return 0


@app.command(epilog="Example: tailboard predict m2m.model photos/new holiday.jpg --prior balanced -o predictions.csv")
def predict(
    model: Annotated[Path, typer.Argument(metavar="FILE", help="What tailboard train wrote.")],
    images: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Images, folders that are walked; of a table one CSV or Parquet."),
    ],
    prior: Annotated[
        str | None,
        typer.Option(help="How frequent the classes are where it is used: balanced, train, or CLASS=SHARE,..."),
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A CSV; the terminal if not given.")] = None,
) -> int:
    """Print the class of each image or row and the probability of each class, as CSV; 2 where one cannot be read."""
    from ..prediction.csv_output import csv_goal
    from ..prediction.image_predictions import write_predictions
    from ..prediction.model import load_model
    from ..prediction.table_model import TableModel
    from ..prediction.table_rows import write_row_predictions

    if output is not None and output.is_dir():
        raise ModelError(f"-o: {output} is a folder: name the file")
    loaded, unreadable = load_model(model), 0
    if (of_rows := isinstance(loaded, TableModel)) and len(images) > 1:
        raise ModelError(f"{images[1]}: the model is of the rows of a table: name one CSV or Parquet file")
    with csv_goal(output, sys.stdout) as goal:
        if isinstance(loaded, TableModel):
            predicted = write_row_predictions(loaded, images[0], goal, prior)
        else:
            predicted, unreadable = write_predictions(loaded, images, goal, prior, print_status)
    if output is not None:
        print_status(f"{output}: {predicted} {'rows' if of_rows else 'images'}")
    return 2 if unreadable else 0
