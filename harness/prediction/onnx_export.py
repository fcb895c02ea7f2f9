"""A model as ONNX: from uint8 images to logits and calibrated probabilities, normalisation included."""

from __future__ import annotations

import io
import json
import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from ..errors import ModelError
from ..storage.files import Files
from .model import Model

INPUT, OUTPUTS = "images", ("logits", "probabilities")


class _Scored(nn.Module):
    """All that stands between the pixels of an image and what the model says of it."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        about = model.description
        self.network, self.finish = model.network, model.finish
        self.temperature = about.calibration.temperature
        self.mean, self.std = (torch.tensor(each).reshape(-1, 1, 1) for each in (about.mean, about.std))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.finish(self.network((images.float() / 255 - self.mean) / self.std))
        return logits, (logits / self.temperature).softmax(dim=1)


def write_onnx(model: Model, path: Path) -> None:
    """Write a model as ONNX: input ``images``, uint8 (N, channels, height, width) of the size that the model takes;
    outputs ``logits`` and ``probabilities`` (N, C), both float32. Its metadata hold the classes and the key.

    Raises:
        ModelError: where the library onnx is not installed. OSError where the file cannot be written.
    """
    require_onnx()
    import onnx

    buffer, example = io.BytesIO(), torch.zeros((2, *model.description.shape), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's newer exporter takes five times as long, and another library
        torch.onnx.export(
            _Scored(model).eval(),
            (example,),
            buffer,  # pyright: ignore[reportArgumentType]
            input_names=[INPUT],
            output_names=[*OUTPUTS],
            dynamic_axes={name: {0: "N"} for name in (INPUT, *OUTPUTS)},
            dynamo=False,
        )
    made = onnx.load_from_string(buffer.getvalue())
    facts = {"classes": json.dumps(model.classes), "key": model.description.trial.key, "producer": "tailboard"}
    onnx.helper.set_model_props(made, facts)
    Files(path.parent).write(path.name, made.SerializeToString())


def require_onnx() -> None:
    """ModelError where the library is not installed."""
    if find_spec("onnx") is None:
        raise ModelError('--onnx needs the library onnx: pip install "tailboard[onnx]"')
