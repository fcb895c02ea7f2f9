"""What any method, ours or a third party's, must hold: ``tailboard test my_method.py``, and pytest over them all."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from ...methods.plugin import plugin_file, plugin_line
from ...methods.recipe import Entry
from ...methods.registry import recipe, registry
from .fused_seeds_check import serves_fused_seeds_as_it_declares
from .network_checks import CHECKS as NETWORK_CHECKS
from .network_checks import Skipped, declared_cost
from .table_conformance import TABLE_CHECKS, of_tables

CHECKS = (*NETWORK_CHECKS, serves_fused_seeds_as_it_declares)


class Verdict(NamedTuple):
    """One check: ``words`` say what was seen, or why there was nothing to see."""

    check: str
    outcome: Literal["pass", "fail", "skip"]
    words: str


def entries(method: str) -> dict[str, Entry]:
    """The methods of a plugin's file, or the registered method (or sum) of that name. MethodError as ``recipe``."""
    if method.endswith(".py"):
        return plugin_file(Path(method))[1]
    known = registry()
    return {method: known[method] if method in known else Entry(method, recipe(method), "", "", math.nan)}


def verdicts(entry: Entry, with_cost: bool = True, file: str = "its file") -> Iterator[Verdict]:
    """Every check of one method, in order.

    Args:
        entry: The method.
        with_cost: Whether its steps are timed too.
        file: As the plugin's file is called where a line of it is named.

    Returns:
        A verdict for each check; one that raises has failed with that error, which is told once.
    """
    torch.set_num_threads(1)  # the tensors are small: threads would only wait for each other
    failures: dict[str, str] = {}
    checks = TABLE_CHECKS if of_tables(entry) else (*CHECKS, declared_cost) if with_cost else CHECKS
    for check in checks:
        name = check.__name__.replace("_", " ")
        try:
            yield Verdict(name, "pass", check(entry))
        except Skipped as reason:
            yield Verdict(name, "skip", str(reason))
        except Exception as error:
            line = plugin_line(error)
            where = f"{file}, line {line}: " if line else ""
            words = where + f"{type(error).__name__}: {error}".splitlines()[0]
            first = failures.setdefault(words, name)
            yield Verdict(name, "fail", words if first == name else f"the failure of {first!r}")
