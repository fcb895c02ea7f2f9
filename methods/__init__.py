"""How it is learned: a method is a recipe of parts."""

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

FORMER_PATHS = {
    "adjust": "losses.logit_adjustment",
    "balance": "sampling.balance",
    "batchnorm": "optimizers.batchnorm",
    "joint_ssl": "stages.joint_ssl",
    "m2m": "sampling.m2m",
    "mixup": "sampling.mixup",
    "retrain": "stages.retrain",
    "sharpness": "optimizers.sharpness",
    "smoothing": "losses.smoothing",
}


class _FormerPath(MetaPathFinder, Loader):
    """Imports a module under the path at which it once stood: plugins inside of published bundles name those paths."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        package, _, module = fullname.rpartition(".")
        return ModuleSpec(fullname, self) if package == __name__ and module in FORMER_PATHS else None

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = import_module(f"{__name__}.{FORMER_PATHS[module.__name__.rpartition('.')[2]]}")


sys.meta_path.append(_FormerPath())
