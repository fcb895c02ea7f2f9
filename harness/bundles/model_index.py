"""``tailboard publish --hf``: the results of a verified bundle as the ``model-index`` of a model card on Hugging Face's
Hub, which its pages show as evaluation results.

Source: https://huggingface.co/docs/hub/model-cards#evaluation-results. The Hub's other form, ``.eval_results/*.yaml``,
names a benchmark that is registered there, which these long tails are not.
"""

from __future__ import annotations

from typing import Any

import yaml

from ...leaderboard.formats.text import plain
from ...leaderboard.metric import GROUPS
from ...leaderboard.results import summarise
from ...leaderboard.shown_setting import data_in_setting
from ..errors import ReportError
from ..reporting import gather
from .bundle import Bundle

NAMES = {"few": "Few", "med": "Med", "many": "Many", "all": "All"}


def model_index(bundle: Bundle, digest: str, method: str | None = None) -> str:
    """The YAML of one method, or of all: a model for each, with the balanced accuracy of each group of each data set.

    Args:
        bundle: One that was verified: its numbers are those that were recomputed.
        digest: Its SHA-256, which stands in each result.
        method: As the report calls it; every method if None.

    Raises:
        ReportError: where there is no such method, or none of its cells has a number.
    """
    report = gather.gather([bundle])
    report.require(method, "--method")
    cells = summarise(report.rows, report.metric)
    cells = cells[cells["mean"].notna() & (cells["method"] == method if method is not None else True)]
    if cells.empty:
        raise ReportError("no cell has a number yet: there is nothing to publish")
    tables = {data.title for spec in bundle.plans() for data in spec.data if data.is_table}
    models = [
        {
            "name": plain(str(name)),
            "results": [_result(where, some, digest, where[0] in tables) for where, some in _places(rows)],
        }
        for name, rows in cells.groupby("method", sort=False)
    ]
    return yaml.safe_dump({"model-index": models}, sort_keys=False, allow_unicode=True)


def _places(rows: Any) -> Any:
    return rows.groupby(["dataset", "setting", "protocol"], sort=False)


def _result(where: tuple[str, str, str], cells: Any, digest: str, is_table: bool) -> dict[str, Any]:
    dataset, setting, protocol = map(plain, where)
    order = {group: place for place, group in enumerate(reversed(GROUPS))}  # All is first: pages show the first
    ordered = sorted(cells.to_dict("records"), key=lambda cell: order[cell["group"]])
    kind = "tabular-classification" if is_table else "image-classification"
    return {
        "task": {"type": kind, "name": "Classification under class imbalance"},
        "dataset": {
            "name": data_in_setting(dataset, setting),
            "type": dataset,
            "split": "test",
            "args": {"setting": setting, "protocol": protocol},
        },
        "metrics": [_metric(cell, digest) for cell in ordered],
    }


def _metric(cell: dict[str, Any], digest: str) -> dict[str, Any]:
    error = None if cell["stderr"] != cell["stderr"] else float(cell["stderr"])
    facts = {
        "standard_error": error,
        "seeds": int(cell["n"]),
        "planned_seeds": int(cell["planned"]),
        "bundle_sha256": digest,
    }
    return {
        "type": "balanced_accuracy",
        "name": f"Balanced accuracy, {NAMES[cell['group']]}, percent, mean over seeds",
        "value": float(cell["mean"]),
        "args": facts,
    }
