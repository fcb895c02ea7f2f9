"""``tailboard figure``: the figures of the paper's appendix, from a store's own trials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .options import Json, print_output
from .status import outcome

app = typer.Typer()


@app.command(
    epilog="Examples: tailboard figure runs/mine --kind improvement --baseline ERM -o gain.svg | "
    "tailboard figure runs/mine --kind sweep --x train_ratio --group minority,majority | "
    "tailboard figure runs/mine --kind ratio_matrix --json"
)
def figure(
    store: Annotated[str, typer.Argument(metavar="STORE", help="A store or a bundle.")],
    kind: Annotated[
        str, typer.Option(help="improvement, sweep, scaling, ratio_matrix or misalignment.", show_default=False)
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also a .svg, .pdf, .png, .csv or .json.")
    ] = None,
    x: Annotated[str | None, typer.Option("--x", help="Of a sweep: the number on x, such as batch_size.")] = None,
    curve: Annotated[
        str | None, typer.Option(help="The field whose values are the curves, such as method or augment.")
    ] = None,
    baseline: Annotated[str | None, typer.Option(help="Of an improvement: the curve to compare with.")] = None,
    over: Annotated[
        str, typer.Option(help="Of an improvement: over the baseline, or over the option as equation 1 is printed.")
    ] = "baseline",
    group: Annotated[
        str, typer.Option(help="The classes: all, few, med, many, minority, majority, or several of them.")
    ] = "all",
    margin: Annotated[
        float, typer.Option(help="Of a ratio_matrix: within how many points optimal and identical are alike.")
    ] = 1.0,
    metric: Annotated[
        str,
        typer.Option(help="In place of accuracy: such as macro_f1 or auroc; tailboard list metrics names them all."),
    ] = "balanced_accuracy",
    as_json: Json = False,
) -> int:
    """Draw a figure from the trials of a store, and print its points and what they say of its claims: supported,
    contradicted or not separable."""
    from ..bundles import sources
    from ..metrics.rescoring import parse_metric
    from ..reporting.figures import study

    groups = tuple(dict.fromkeys(word.strip() for word in group.split(",")))
    asked = study.FigureRequest(kind, x, curve, baseline, over, groups, margin, parse_metric(metric, "test", 0.0))
    with sources.opened([store]) as (place,):
        drawn = study.study_figure(place, asked)
    if output:
        drawn.write(output)
    print_output(json.dumps(drawn.facts(), indent=1) if as_json else drawn.text())
    return outcome(drawn)
