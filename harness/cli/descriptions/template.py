"""A spec to begin with: what each of its fields means stands beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ....datasets.user_images.source import is_user_images

TEMPLATE = """\
# What is compared. `tailboard plan {file}` prints the trials, `tailboard run {file}` trains them and prints the
# leaderboard; the same command goes on where it was. A list in data, training or a method's values is an axis: each of
# its values is compared with each of the other axes.
name: {name}

data:{data_help}
  - {data}

methods:  # tailboard list methods. A sum such as "SAM-A + M2m" is a method too
{methods}
  # - {{name: Focal Loss, values: {{loss.gamma: [1, 2]}}}}  # one row for each value
  # - {{name: Mine, plugin: mine.py}}  # a method of your own; tailboard test mine.py checks it

network: small  # tailboard list networks

training:
  preset: t5  # the paper's routine; what follows differs from it
  epochs: 30
  batch_size: 64
  warmup_epochs: 1
  crop_padding: 0
  augment: none
  cutmix: 0

seeds: 5  # below five no method is called better than another

resources: {{cpu: 1, gpu: 0}}  # of each trial; gpu: 0.25 lets four share a GPU

# tune: {{trials: 16}}  # every method is tuned first, on the same budget and on validation images only
"""
LONG_TAIL = "  # tailboard list datasets; the factor is how many times the images of the smallest class the largest has"
OWN_IMAGES = "  # with their natural tail; imbalance_factor: 50 cuts another"


def commented_spec(file: str, name: str, data: str, methods: Sequence[str]) -> str:
    """A spec's text.

    Args:
        file: As its comments call the file that it will stand in.
        name: The spec's.
        data: A data set's name, or images as ``folder:PATH``.
        methods: Their names.

    Returns:
        The text, as YAML.
    """
    is_own = is_user_images(data)
    words = f"{{name: {json.dumps(data)}}}" if is_own else f"{{name: {json.dumps(data)}, imbalance_factor: 100}}"
    rows = "\n".join(f"  - {json.dumps(method, ensure_ascii=False)}" for method in methods)
    help_ = OWN_IMAGES if is_own else LONG_TAIL
    return TEMPLATE.format(file=file, name=name, data=words, methods=rows, data_help=help_)
