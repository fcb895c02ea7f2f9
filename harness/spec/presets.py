"""Training routines by name. A spec names one and may change any field of it."""

from __future__ import annotations

from typing import Any

T5: dict[str, Any] = {  # appendix B of arXiv 2312.02517; what it leaves open is marked
    "epochs": 300,
    "batch_size": 128,  # appendix A.1 calls 128 the default
    "lr": 0.1,
    "momentum": 0.9,
    "weight_decay": 2e-4,
    "schedule": "cosine",
    "warmup_epochs": 5.0,  # not stated; LDAM-DRW's code
    "ema": 0.999,  # not stated
    "label_smoothing": 0.1,  # not stated
    "crop_padding": 4,
    "flip": True,
    "augment": "trivial_augment_wide",
    "cutmix": 0.5,  # the share of batches; not stated
    "cutmix_alpha": 1.0,
}

LDAM2019: dict[str, Any] = T5 | {  # kaidic/LDAM-DRW cifar_train.py: for comparison with numbers published since 2019
    "precision": "float32",
    "init": "fan_in",  # resnet_cifar.py: _weights_init
    "warmup": "epoch",
    "last_batch": "kept",
    "epochs": 200,
    "schedule": "step",
    "ema": 0.0,
    "label_smoothing": 0.0,
    "augment": "none",
    "cutmix": 0.0,
}

TABLES: dict[str, Any] = {  # ours: for a network on the rows of a table
    "kind": "table",
    "epochs": 40,
    "batch_size": 128,
    "lr": 0.05,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "schedule": "cosine",
    "warmup_epochs": 1.0,
    "ema": 0.0,
    "label_smoothing": 0.0,
}
ESTIMATORS: dict[str, Any] = {"kind": "estimator"}  # fitted once: nothing to say

PRESETS: dict[str, dict[str, Any]] = {"t5": T5, "ldam2019": LDAM2019}
TABLE_PRESETS: dict[str, dict[str, Any]] = {"tables": TABLES}
PRESETS_OF: dict[str, dict[str, dict[str, Any]]] = {
    "images": PRESETS,
    "table": TABLE_PRESETS,
    "estimator": {"tables": ESTIMATORS},
}
NETWORK_OF: dict[str, str] = {"t5": "wrn-28-10", "ldam2019": "resnet32"}
SMALL_STEM = ("resnet18", "resnet34", "resnet50")  # that without their library's name have a stem for small images
TORCHVISION = (  # the networks of torchvision that are known, as ``torchvision:NAME``
    *(*SMALL_STEM, "resnet101", "resnet152"),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"),
)


def full_name(network: str) -> str:
    """The one name of a network: ``resnet152`` is only torchvision's, and ``resnext50-32x4d`` a way to spell it."""
    spelled = network.replace("-", "_")
    return f"torchvision:{spelled}" if spelled in TORCHVISION and spelled not in SMALL_STEM else network
