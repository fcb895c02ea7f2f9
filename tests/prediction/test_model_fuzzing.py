"""Whatever is done to a model file, it predicts or is refused in one line. ``make fuzz`` tries two thousand changes."""

import os
import random

import numpy as np
import pytest

import tailboard as tb
from tailboard.harness.prediction.description import Description
from tailboard.harness.prediction.model_file import network_of, write
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.record import Provenance

CHANGES = 2000 if os.environ.get("TAILBOARD_FUZZ") == "all" else 60
pytestmark = pytest.mark.fuzz


def changed(data: bytes, draw: random.Random) -> bytes:
    """Bytes of the header replaced, the file cut short, bytes anywhere replaced, or a number made long."""
    header, made = 8 + int.from_bytes(data[:8], "little"), bytearray(data)
    kind = draw.random()
    if kind < 0.5:
        for _ in range(draw.choice([1, 2, 5])):
            made[draw.randrange(header)] = draw.choice(b'0123456789{}[]",:ae-\x00\xff')
    elif kind < 0.7:
        made = made[: draw.randrange(len(made))]
    elif kind < 0.9:
        for _ in range(3):
            made[draw.randrange(len(made))] = draw.randrange(256)
    else:
        start = draw.randrange(header)
        made[start : start + draw.randrange(30)] = b"9" * draw.randrange(30)
    return bytes(made)


def test_a_changed_file_predicts_or_is_refused(tmp_path):
    raw = {"name": "x", "data": "fashion-mnist-mini", "methods": "LDAM-DRW + Logit adjustment", "network": "small"}
    description = Description(
        trial=plan(parse(raw | {"seeds": 1}))[0],
        classes=tuple("abcdefghij"),
        counts=(9,) * 10,
        shape=(1, 28, 28),
        mean=(0.3,),
        std=(0.2,),
        parts=("head", "finish"),
        data=Provenance(verified=True, hashes={}, fingerprint=""),
    )
    path, image, draw = tmp_path / "m.model", np.zeros((28, 28), np.uint8), random.Random(0)  # noqa: S311  (no secret)
    write(path, description, network_of(description).state_dict())
    data, refused = path.read_bytes(), 0
    assert tb.load_model(path).predict(image).logits.shape == (1, 10)
    for _ in range(CHANGES):
        path.write_bytes(changed(data, draw))
        try:
            tb.load_model(path).predict(image)
        except tb.UserError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > CHANGES / 2
