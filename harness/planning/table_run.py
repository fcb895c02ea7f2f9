"""A spec for a table of the user's own from one line of the command: a dozen methods on two estimators.

The methods are the baseline and one or two of each idea that stands on an estimator: class weights, scores adjusted
after the fit, every class drawn as often, rows left out, rows made between neighbours, rows cleaned, and ensembles on
balanced draws, which bring their own estimator. The estimators are the two that a table is usually tried with first: a
linear one, and boosted trees.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...datasets.user_tables.dataset import resolve as facts_of
from ...datasets.user_tables.source import source_of
from ..errors import SpecError
from ..spec.parser import parse, parse_data
from ..spec.plugin_files import with_plugin_files
from ..spec.schema import Data, Spec
from ..spec.user_files.contents import TableContents
from ..storage.store import Store
from ..text import listed
from .image_run import ImageRequest, named

ESTIMATORS = ("logistic_regression", "xgboost")
ROWS_AS_THEY_ARE = ("ERM", "Reweighting", "Logit adjustment", "Resampling")
ROWS_MADE_OR_DROPPED = ("RandomUnderSampler", "SMOTE", "BorderlineSMOTE", "SMOTETomek", "TomekLinks")
ENSEMBLES = ("BalancedRandomForest", "EasyEnsemble", "RUSBoost")
SHARE = 0.9  # of the training rows, which each seed draws anew: an estimator that draws nothing has one result else


def resolve(
    request: ImageRequest, store: str | None, say: Callable[[str], None], root: Path | None = None
) -> tuple[Spec, Store]:
    """The spec that the request stands for, and the store that it is run into.

    Args:
        request: What was asked, of a table.
        store: The store; ``runs/NAME`` after the file if not given.
        say: Is told what was found and decided, line by line.
        root: The folder that holds collections such as OpenML's.

    Raises:
        DataError: where the table cannot be trained on. SpecError for what is asked of images only.
    """
    if request.minutes:
        raise SpecError(
            "--minutes: is of images; an estimator is fitted once, and tailboard plan --calibrate measures it"
        )
    data = parse_data(request.words, root=root)
    assert isinstance(data.contents, TableContents)  # noqa: S101  (for the type checker)
    source = source_of(request.words, Path(), root)
    name, place, kept = named(
        source.member or source.path.stem,
        "table",
        [data.canonical, request.methods, request.network, request.seeds, *request.plugin_hashes],
        store,
    )
    if kept:
        return kept, place
    spec = with_plugin_files(parse(_raw(name, data, data.contents, request)), request.plugins)
    for note in facts_of(source)[1]:
        say(note)
    rows, tested = sum(data.contents.available), sum(data.contents.tested)
    say(
        f"{data.name}: {rows} + {tested} rows of {len(data.contents.classes)} classes; {len(spec.methods)} methods on "
        f"{' and '.join(_estimators(request))} x {len(spec.seeds)} seeds, each fitted on another nine tenths of "
        "the training rows"
    )
    return spec, place


def _raw(name: str, data: Data, contents: TableContents, request: ImageRequest) -> dict[str, Any]:
    """The spec's words. Rows with weights of their own are not made or dropped."""
    rows = () if contents.weight else ROWS_MADE_OR_DROPPED
    usual = (*ROWS_AS_THEY_ARE, *rows, *ENSEMBLES)
    asked = usual if request.methods is None else listed(request.methods)
    total = max(len(contents.classes), round(SHARE * sum(contents.available)))
    return {
        "name": name,
        "data": [data.model_dump(mode="json", exclude_none=True) | {"total": total}],
        "methods": [{"name": method} for method in asked],
        "network": _estimators(request),
        "seeds": request.seeds,
        "resources": {"cpu": 1, "gpu": 0},
    }


def _estimators(request: ImageRequest) -> list[str]:
    return listed(request.network) if request.network else list(ESTIMATORS)
