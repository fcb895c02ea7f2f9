"""The kinds of figure that a spec or a command may name; nothing is imported, so that help is quick."""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal["improvement", "sweep", "scaling", "ratio_matrix", "misalignment", "fit", "regions"]
KINDS: tuple[Kind, ...] = get_args(Kind)
