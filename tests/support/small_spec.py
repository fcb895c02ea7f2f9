"""The spec of one short training on real images; a test names what it changes: ``SMALL | {"seeds": 3}``."""

SMALL = {
    "name": "t",
    "data": {"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 40},
    "methods": "ERM",
    "network": "small",
    "training": {"epochs": 2, "batch_size": 32},
    "seeds": 1,
}
