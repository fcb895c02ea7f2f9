"""For a process that reads what methods are and trains none: PyTorch is imported when its first name is used.

Its import costs more than all else that such a command does. So the modules of this folder that declare parts have
``import torch`` and ask nothing of it while they are imported; a network, which is a class of its, stands in a file of
its own (``losses/cosine.py``, ``stages/vicreg.py``), which ``build`` imports.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

FOREIGN = ("tailboard.methods", "tailboard.datasets", "tailboard.estimators")  # groups of entry points


class _Deferred(ModuleType):
    """The module before it is loaded: it knows its spec, and whatever else is asked of it loads it. It has no
    ``__path__``, so that the import of a module inside of it asks for that first."""

    def __getattr__(self, name: str) -> Any:
        spec = self.__spec__
        assert spec is not None and spec.loader is not None  # noqa: S101  (for the type checker)
        # What is asked from here on is asked of the module itself.
        self.__class__ = ModuleType  # type: ignore[assignment]
        self.__path__ = list(spec.submodule_search_locations or ())
        spec.loader.exec_module(self)
        return getattr(self, name)


def defer_torch() -> None:
    """From here on ``import torch`` is free until a name of it is used. To be called while there is one thread.

    Not where other packages add methods, data sets or estimators: what they import is not known.
    """
    installed = entry_points()
    if any(installed.select(group=group) for group in FOREIGN):
        return
    if "torch" in sys.modules or (spec := find_spec("torch")) is None:
        return
    module = module_from_spec(spec)
    module.__class__ = _Deferred
    del module.__path__
    sys.modules["torch"] = module


def load_torch() -> None:
    """Import what was deferred. To be called before code that is not ours: ``from torch.optim import SGD`` as the first
    that is asked of the deferred module would execute ``torch.optim`` twice."""
    if isinstance(module := sys.modules.get("torch"), _Deferred):
        module.Tensor  # noqa: B018
