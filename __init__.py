"""tailboard: a distributed benchmark harness, with a leaderboard, for learning under class imbalance.

    import tailboard as tb

    board = tb.run("quickstart")   # trains what is not finished; Ctrl-C drains, and the same call goes on
    board.rows                     # the tidy table, a row a trial and group
    board.table                    # mean and standard error, a row a method
    board.save("table.tex", versus="ERM")
    tb.report("runs/quickstart", "theirs.zip")
    tb.load_model("m2m.model").predict(["photo.jpg"]).labels

The four folders are the architecture: ``datasets`` (what is learned from), ``methods`` (how it is learned),
``leaderboard`` (what came out) and ``harness`` (from a spec to rows; the only one that imports the others).
Importing this imports none of them: each name is loaded when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .harness.api import Leaderboard, plan, report, run, tune
    from .harness.prediction.model import Model, load_model
    from .harness.spec.schema import Spec, Trial
    from .harness.storage.store import Store
    from .methods.recipe import Part, Range, Recipe, hyper, register

__version__ = "0.1.0"
__all__ = [
    "Leaderboard", "Model", "Part", "Range", "Recipe", "Spec", "Store", "Trial", "UserError", "hyper", "load_model",
    "plan", "register", "report", "run", "tune",
]  # fmt: skip
_HOMES = {
    ".harness.api": ("Leaderboard", "plan", "report", "run", "tune"),
    ".harness.prediction.model": ("Model", "load_model"),
    ".harness.spec.schema": ("Spec", "Trial"),
    ".harness.storage.store": ("Store",),
    ".methods.recipe": ("Part", "Range", "Recipe", "hyper", "register"),
}
LONGEST = 4000  # characters of an error's message
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


class UserError(Exception):
    """An error that is the user's to mend: its message is written for the user, who sees no traceback.

    ``exit_code`` is the code with which the command ends. A message is cut at ``LONGEST`` characters: what it quotes
    may be a stranger's, and megabytes.
    """

    exit_code = 1

    def __init__(self, message: object = "") -> None:
        text = str(message)
        super().__init__(text if len(text) <= LONGEST else f"{text[:LONGEST]} ... ({len(text):,} characters)")


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'tailboard' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name], __name__), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME_OF]
