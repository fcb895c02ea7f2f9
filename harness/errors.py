"""The errors of the harness that are the user's to mend: their messages are written for the user, and the command ends
with their ``exit_code``.

``DataError`` is in ``datasets/catalog.py`` and ``MethodError`` in ``methods/part.py``, where plugins import them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .. import UserError

if TYPE_CHECKING:
    from pydantic import ValidationError

INTERRUPTED = 130  # the exit code of a command that a signal ended


@contextmanager
def field(path: str) -> Iterator[None]:
    """What is wrong inside is wrong in this field of a spec: the message begins with the field's path."""
    try:
        yield
    except UserError as error:
        if not re.match(rf"{re.escape(path)}[.:]", str(error)):
            error.args = (f"{path}: {error}",)
        raise


def first_fault(error: ValidationError, where: str = "") -> str:
    """The first field that is wrong of a model, itself the field ``where`` of another, and what is wrong of it."""
    first = error.errors()[0]
    path = ".".join(filter(None, [where, *map(str, first["loc"])]))[:300]  # a stranger may have named the field
    return ": ".join(filter(None, [path, first["msg"].removeprefix("Value error, ")]))


class SpecError(UserError, ValueError):
    """A spec that cannot be planned; the message names the field and the nearest right word."""


class NetworkError(UserError, ValueError):
    """A network that is unknown or impossible."""


class StoreError(UserError):
    """A store that is missing or damaged; the message names the file."""


class ClusterError(UserError):
    """Ray cannot be started or reached, or cannot hold a trial."""


class TrackingError(UserError):
    """MLflow answers, and will not take what it is given until the user changes something."""


class ModelError(UserError, ValueError):
    """A trained model, or what it is asked to predict, that cannot be used; the message names the file."""


class ReportError(UserError, ValueError):
    """A report that cannot be made as asked."""


class NoBundle(StoreError):
    """A file that is no bundle at all."""


class BundleError(StoreError):
    """A bundle that does not hold, or that no export of ours can have written."""

    exit_code = 3


class Untrusted(UserError, ValueError):
    """A bundle or store whose plugins would be run without a word of the user's."""
