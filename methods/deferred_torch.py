"""For a process that reads what methods are and trains none: PyTorch is imported when its first name is used.

Its import costs more than all else that such a command does. So the modules of this folder that declare parts have
``import torch`` and ask nothing of it while they are imported; a network, which is a class of its, stands in a file of
its own (``losses/cosine.py``, ``stages/vicreg.py``), which ``build`` imports.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from types import ModuleType
from typing import Any

FOREIGN = ("tailboard.methods", "tailboard.datasets", "tailboard.estimators")  # groups of entry points


class _Deferred(ModuleType):
    """Stands for the module in whatever was imported meanwhile: the first name that is asked of it imports torch."""

    def __getattr__(self, name: str) -> Any:
        end_deferral()
        torch = import_module("torch")
        vars(self).update(vars(torch))
        return getattr(torch, name)


def defer_torch() -> None:
    """From here on ``import torch`` is free until a name of it is used. To be called while there is one thread.

    Not where other packages add methods, data sets or estimators: what they import is not known.
    """
    installed = entry_points()
    if any(installed.select(group=group) for group in FOREIGN):
        return
    if "torch" in sys.modules or (spec := find_spec("torch")) is None:
        return
    module = sys.modules["torch"] = _Deferred("torch", "Of PyTorch, which is not imported yet.")
    module.__spec__ = spec


def end_deferral() -> None:
    """From here on ``import torch`` imports it, and whoever looks whether it was imported sees that it was not, as
    SciPy does with each array. What was imported meanwhile goes on without it until it uses a name of it."""
    if isinstance(sys.modules.get("torch"), _Deferred):
        del sys.modules["torch"]


def load_torch() -> None:
    """Import what was deferred. To be called before code that is not ours: ``from torch.optim import SGD`` as the first
    that is asked of the deferred module would execute ``torch.optim`` twice."""
    if isinstance(sys.modules.get("torch"), _Deferred):
        end_deferral()
        import_module("torch")
