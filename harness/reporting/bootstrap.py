"""What other test images would have given, for every row of a report: tables of the bootstrap's standard errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ...leaderboard.metric import GROUPS
from ...leaderboard.shown_setting import shown_setting
from ...leaderboard.statistics.bootstrap import DRAWS, resampled
from ...leaderboard.tables.cell_texts import USUAL_SEEDS
from ...leaderboard.tables.grid import Table
from ..errors import ReportError, StoreError
from ..metrics.rescoring import predictions
from ..metrics.shots import class_members
from ..planning.reported import ReportedTrial, protocol_label, row_label
from ..spec.labels import Labels, setting_label
from ..spec.schema import Shots
from ..storage.reader import StoreReader
from ..storage.record import Weights

Hits = dict[str, dict[int, np.ndarray]]  # by method and seed: whether each test image was recognised
CAPTION = (
    "Test-image noise: mean ± one standard error over {draws} test sets drawn anew from this one, class by class, each "
    "time the same images for every method and seed; accuracy in percent, averaged over the classes of each group; n = "
    "{usual} seeds unless shown.",
    "It speaks of new test images at these seeds, the tables above of new seeds on these images. For both at once take "
    "the root of the sum of the squares of the two standard errors, which errs, if at all, on the safe side.",
)
AGAINST = (
    "Differences from {versus} are in percentage points over the seeds that both finished, with the middle 95 percent."
)


class TestSetBootstrap:
    """The predictions of a report's rows, gathered store by store."""

    def __init__(self, labels: Labels, by: Shots, tau: float = 0.0, weights: Weights = "last_ema") -> None:
        self._words, self._by, self._tau = labels, by, tau
        self._weights: Weights = weights
        self._hits: dict[tuple[str, str, str], Hits] = {}
        self._truth: dict[str, np.ndarray] = {}
        self._counts: dict[tuple[str, str, str], tuple[int, ...]] = {}

    def add(self, store: StoreReader, shown: Iterable[ReportedTrial]) -> None:
        """Those of the complete trials whose arrays can be read; of the others the rows themselves tell. ReportError
        where two trials of one data set were scored on different images."""
        for reported in shown:
            try:
                outcome = store.result(reported.trial.key)
                if reported.why or outcome.status != "complete":
                    continue
                logits, truth = predictions(store, outcome, self._tau, self._weights)
            except (StoreError, FileNotFoundError):
                continue
            data = reported.row.data
            if not np.array_equal(self._truth.setdefault(data.title, truth), truth):
                raise ReportError(f"--noise: trials of {data.title} were scored on different test images")
            place = (protocol_label(reported, self._words), data.title, setting_label(data))
            hit = logits.argmax(axis=1) == truth
            self._hits.setdefault(place, {}).setdefault(row_label(reported, self._words), {})[reported.row.seed] = hit
            self._counts[place] = outcome.counts

    def tables(self, versus: str | None = None) -> list[Table]:
        """For each protocol, data set and setting the means, and the differences from ``versus``."""
        shown = []
        for place, hits in self._hits.items():
            groups = {group: at for group, at in class_members(self._counts[place], self._by).items() if at}
            truth, title = self._truth[place[1]], f"{', '.join(map(shown_setting, place))}: test-image noise"
            caption = [CAPTION[0].format(draws=DRAWS, usual=USUAL_SEEDS), CAPTION[1]]
            scores = {method: np.mean(list(seeds.values()), axis=0) for method, seeds in hits.items()}
            count = {method: len(seeds) for method, seeds in hits.items()}
            shown.append(_table(title, scores, truth, groups, caption, count))
            if versus in hits and len(hits) > 1:
                pairs = {m: gap for m in hits if m != versus and (gap := _gap(hits[m], hits[versus])) is not None}
                count = {method: len(hits[method].keys() & hits[versus].keys()) for method in pairs}
                caption = [caption[0], AGAINST.format(versus=versus), caption[1]]
                title = f"{title}, difference from {versus}"
                shown.append(_table(title, pairs, truth, groups, caption, count, signed=True))
        return shown


def _gap(ours: Mapping[int, np.ndarray], theirs: Mapping[int, np.ndarray]) -> np.ndarray | None:
    shared = sorted(ours.keys() & theirs.keys())
    return np.mean([ours[s].astype(float) - theirs[s] for s in shared], axis=0) if shared else None


def _table(
    title: str,
    scores: Mapping[str, np.ndarray],
    truth: np.ndarray,
    groups: Mapping[str, Sequence[int]],
    caption: Sequence[str],
    count: Mapping[str, int],
    signed: bool = False,
) -> Table:
    names = [group for group in GROUPS if group in groups]
    values = np.stack(list(scores.values())) if scores else np.zeros((0, len(truth)))
    drawn = resampled(values, truth, groups)
    means = {
        g: [round(100 * float(np.mean([v[truth == c].mean() for c in groups[g]])), 9) for v in values] for g in names
    }
    body = [
        (_counted(method, count[method]), *(_cell(means[group][i], drawn[group][:, i], signed) for group in names))
        for i, method in enumerate(scores)
    ]
    spans = (("", tuple(name.title() for name in names)),)
    return Table(title, spans=spans, body=tuple(body), footnotes=(), caption=tuple(caption))


def _counted(method: str, seeds: int) -> str:
    return method if seeds == USUAL_SEEDS else f"{method} (n={seeds})"


def _cell(mean: float, draws: np.ndarray, signed: bool) -> str:
    if not signed:
        return f"{mean:z.1f} ± {draws.std(ddof=1):.1f}"
    low, high = np.percentile(draws, [2.5, 97.5])
    return f"{mean:+z.1f} ± {draws.std(ddof=1):.1f} [{low:+z.1f}, {high:+z.1f}]".replace("-", "−")
