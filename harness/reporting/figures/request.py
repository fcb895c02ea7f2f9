"""Which figure is asked for: by a spec's block ``figure``, by the command line, or by both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ....leaderboard.figures.improvement import READINGS
from ....leaderboard.metric import ACCURACY
from ....methods.names import nearest
from ...errors import ReportError
from ...metrics.rescoring import AS_RECORDED, MetricRequest, parse_metric
from ...spec.schema import Spec
from ...spec.studies.figure_block import GROUPS, FigureClaim
from ...spec.studies.figure_kinds import KINDS
from ...storage.reader import StoreReader

OF_ACCURACY = {  # what the kinds are of that take no metric
    "fit": "the accuracy on the training images",
    "regions": "the shares that a network gives each class",
}
AT_TEST_RATIOS = (
    "ratio_matrix",
    "misalignment",
)  # kinds whose trials are tested at the ratios that all were trained at


@dataclass(frozen=True)
class FigureRequest:
    """What is asked for: a kind of ``KINDS``, the field on x, the field whose values are the curves, the curve to
    compare with, the denominator of its gain, the groups of classes, the margin within which two are alike, and the
    metric; the contrasts that are claimed, what the paper says, and the plan of the store that it is drawn of (empty:
    of all)."""

    kind: str
    x: str | None = None
    curve: str | None = None
    baseline: str | None = None
    over: str = "baseline"
    groups: Sequence[str] = ("all",)
    margin: float = 1.0
    metric: MetricRequest = AS_RECORDED
    claims: Sequence[FigureClaim] = ()
    claim: str = ""
    plan: str = ""
    converged: float | None = None  # percent of the training images that every trial must know at its end

    @classmethod
    def of(cls, spec: Spec) -> FigureRequest | None:
        """What a spec's block asks for; None where it has none. ReportError for a metric that is none."""
        if (block := spec.figure) is None:
            return None
        return cls(
            block.kind, block.x, block.curve, block.baseline, block.over, block.group, block.margin,
            parse_metric(block.metric, "test", 0.0), block.claims, block.claim, spec.name, block.converged,
        )  # fmt: skip

    def changed(self, options: Mapping[str, Any]) -> FigureRequest:
        """With what the command line says in place of the block's words. ReportError as for any request."""
        return replace(self, **options)

    def __post_init__(self) -> None:
        """ReportError for a word that is none."""
        for option, words, allowed in (
            ("--kind", [self.kind], KINDS),
            ("--over", [self.over], READINGS),
            ("--group", self.groups, GROUPS),
        ):
            if wrong := [word for word in words if word not in allowed]:
                near = nearest(wrong[0], allowed)
                raise ReportError(f"{option}: {wrong[0]!r} is not one of {', '.join(allowed)}{near}")
        if not self.margin > 0:
            raise ReportError(f"--margin: {self.margin:g} must be above 0")
        if self.x and self.kind not in ("sweep", "fit"):
            raise ReportError(f"--x: of a sweep or a fit; the x of {self.kind} is fixed")
        if self.baseline and self.kind not in ("improvement", "regions"):
            raise ReportError(f"--baseline: of an improvement or of regions, not of {self.kind}")
        own = {"fit": ("all", "minority"), "regions": ("all",)}.get(self.kind, GROUPS)
        if wrong := [group for group in self.groups if group not in own]:
            raise ReportError(f"--group: {self.kind} is of {' and '.join(own)}, not {wrong[0]}")
        if self.metric != AS_RECORDED:
            self._check_metric()

    def _check_metric(self) -> None:
        name = self.metric.name
        if of := OF_ACCURACY.get(self.kind):
            raise ReportError(f"--metric: {self.kind} is of {of}")
        if self.kind in AT_TEST_RATIOS and not self.metric.definition.follows_prior:
            raise ReportError(
                f"--metric: {name} is the same at every test ratio; --kind sweep --x train_ratio draws it over those "
                "of the training"
            )
        if not self.metric.metric.larger_is_better:
            raise ReportError(f"--metric: of {name} less is better, and claims say what is more")
        if wrong := [group for group in self.groups if group not in self.metric.groups]:
            raise ReportError(f"--group: {name} is of {', '.join(self.metric.groups)}, not {wrong[0]}")

    @property
    def y(self) -> str:
        """The words of the axis."""
        metric = self.metric.metric
        label = "accuracy" if self.metric == AS_RECORDED else metric.label
        return f"{label} (%)" if metric.unit == ACCURACY.unit else label


def planned_request(store: StoreReader, study: str | None = None) -> FigureRequest:
    """What the plans of a store ask for.

    Args:
        store: A store or a bundle.
        study: The name of the plan, where several ask for a figure.

    Raises:
        StoreError: where there is no store.
        ReportError: where no plan asks for a figure, or several do and none is named.
    """
    drawn = {spec.name: spec for spec in store.plans() if spec.figure}
    if not drawn:
        raise ReportError(f"--kind: no plan of {store} has a block figure; name one of {', '.join(KINDS)}")
    if study is not None and study not in drawn:
        raise ReportError(f"--study: no plan {study!r} of {store} has a block figure" + nearest(study, drawn))
    if study is None and len(drawn) > 1:
        raise ReportError(f"--study: several plans of {store} have a block figure; name one of {', '.join(drawn)}")
    asked = FigureRequest.of(drawn[study or next(iter(drawn))])
    assert asked is not None  # noqa: S101  (for the type checker)
    return asked
