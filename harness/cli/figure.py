"""``tailboard figure``: the figures of the paper's appendix, from a store's own trials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..spec.studies.figure_kinds import KINDS
from .options import Json, print_output
from .status import outcome

if TYPE_CHECKING:
    from ..spec.schema import Spec

app = typer.Typer()


@app.command(
    epilog="Examples: tailboard figure runs/mine --kind improvement --baseline ERM -o gain.svg | "
    "tailboard figure runs/mine --kind sweep --x train_ratio --group minority,majority | "
    "tailboard figure my.yaml -o figure.html | tailboard figure runs/mine --kind ratio_matrix --json"
)
def figure(
    place: Annotated[
        str,
        typer.Argument(metavar="STORE|STUDY", help="A store, a bundle, or the spec of a study, whose runs/NAME it is."),
    ],
    kind: Annotated[
        str | None, typer.Option(help=f"{', '.join(KINDS[:-1])} or {KINDS[-1]}; as the plan says if not given.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also a .svg, .pdf, .png, .html, .csv or .json.")
    ] = None,
    study: Annotated[str | None, typer.Option(help="The plan, where several of a store have a figure.")] = None,
    x: Annotated[
        str | None, typer.Option("--x", help="Of a sweep or a fit: the number on x, such as batch_size.")
    ] = None,
    curve: Annotated[
        str | None, typer.Option(help="The field whose values are the curves, such as method or augment.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Of an improvement or of regions: the curve to compare with.")
    ] = None,
    over: Annotated[
        str | None,
        typer.Option(help="Of an improvement: over the baseline, or over the option as equation 1 is printed."),
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="The classes: all, few, med, many, minority, majority, or several of them.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="Within how many points two are alike; 1 if nothing says else.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(help="In place of accuracy: such as macro_f1 or auroc; tailboard list metrics names them all."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Draw a figure from the trials of a store, and print its points and what they say of its claims: supported,
    contradicted or not separable. What the spec's block figure says need not be said again."""
    from ..bundles import sources
    from ..metrics.rescoring import parse_metric
    from ..reporting.figures.request import FigureRequest, planned_request
    from ..reporting.figures.study import study_figure
    from ..reporting.pages.html_pages import write_figure_page

    given = {
        "x": x, "curve": curve, "baseline": baseline, "over": over, "margin": margin,
        "groups": tuple(dict.fromkeys(word.strip() for word in group.split(","))) if group else None,
        "metric": parse_metric(metric, "test", 0.0) if metric else None,
    }  # fmt: skip
    options = {name: value for name, value in given.items() if value is not None}
    store, spec = _named(place)
    with sources.opened([store]) as (opened,):
        planned = FigureRequest.of(spec) if spec else None
        if kind is not None:
            asked = FigureRequest(kind, **options, plan=spec.name if spec else study or "")
        else:
            asked = (planned or planned_request(opened, spec.name if spec else study)).changed(options)
        drawn = study_figure(opened, asked)
        if output and output.suffix.lower() == ".html":
            write_figure_page(opened, drawn, output)
    if output and output.suffix.lower() != ".html":
        drawn.write(output)
    print_output(json.dumps(drawn.facts(), indent=1) if as_json else drawn.text())
    return outcome(drawn)


def _named(place: str) -> tuple[str, Spec | None]:
    """The store, and the spec where that is what is named: a YAML file, or a shipped spec of which no store stands."""
    from ..spec.parser import read, shipped
    from ..storage.store import Store

    is_spec = place.endswith((".yaml", ".yml")) or (place in shipped() and not Store(place).exists())
    if not is_spec:
        return place, None
    spec = read(place)
    return f"runs/{spec.name}", spec
