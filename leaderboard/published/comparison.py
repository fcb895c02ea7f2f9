"""Published beside measured: the difference of each pair, and the only rule by which a row is called reproduced.

Two rows may be compared only where all that moves such a number is known on both sides and alike: the network, the
epochs, the augmentation, the long tail, the groups, and that nothing was selected on the test set. Whatever differs
or is not known is named, and no other word is said.

Their seeds are not ours, so the test is Welch's, unpaired, from means and standard errors. "Not different" is no proof
of reproduction: few seeds would reproduce anything. So the whole 95 percent interval of the difference must lie within
`MARGIN` (an equivalence test: Schuirmann, J. Pharmacokin. Biopharm. 15 (1987) 657-680, at the stricter 95 percent).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from ..metric import GROUPS
from ..results import COLUMN
from ..statistics.paired import ALPHA, FEWEST_SEEDS, holm

MARGIN = 2.0  # percentage points; what two codes may differ by and still be said to give the same
HONEST = ("last epoch", "on validation images")  # selection rules that leave the test set alone
COLUMNS = [
    *COLUMN, "method", "source", "mean", "stderr", "n", "mean_there", "stderr_there", "n_there",
    "difference", "ci95_low", "ci95_high", "p", "verdict", "why",
]  # fmt: skip


@dataclass(frozen=True)
class Routine:
    """How the rows of one protocol were trained, in the words of `published.csv`; ``usual_groups`` where Few, Med and
    Many are fewer than 20, 20 to 100, and more than 100 training images."""

    network: str
    epochs: int
    augmentation: str
    usual_groups: bool = True


def compare(cells: pd.DataFrame, published: pd.DataFrame, routines: Mapping[str, Routine]) -> pd.DataFrame:
    """Each measured cell beside each published row of the same method, data set, setting and group.

    A published row whose setting its source does not state is a counterpart too: the verdict says what is missing.

    Args:
        cells: What `results.summarise` returns, of accuracies.
        published: What `published.published` returns.
        routines: How each protocol was trained; a protocol that is not in it is not comparable.

    Returns:
        The columns of `COLUMNS`: `difference` is measured minus published in percentage points, its 95 percent interval
        and `p` are Welch's (NaN where one side has no standard error); `verdict` is "reproduced", "not reproduced"
        (p < 0.05 after Holm's correction over the comparable rows of one source and protocol, and the interval not
        within `MARGIN`) or "not comparable", and `why` in what, or what else keeps the word back.
    """
    pairs = cells.merge(published, on=["dataset", "method", "group"], suffixes=("", "_there"))
    alike = pairs["setting"] == pairs["setting_there"]
    pairs = pairs[(alike | ~_stated(pairs["setting_there"])) & pairs["mean"].notna()].reset_index(drop=True)
    order = pairs["group"].map({name: place for place, name in enumerate(GROUPS)})
    pairs = pairs.assign(order=order).sort_values(["protocol", "dataset", "method", "order"], kind="stable")
    pairs = _tested(pairs.reset_index(drop=True))
    why = ["; ".join(_obstacles(row, routines.get(str(row.protocol)))) for row in pairs.itertuples()]
    return _judged(pairs.assign(why=why))[COLUMNS]


def _stated(settings: pd.Series) -> pd.Series:
    return ~settings.str.contains("not stated|inferred")


def _tested(pairs: pd.DataFrame) -> pd.DataFrame:
    """With the difference, and Welch's interval and p-value from means and standard errors."""
    from scipy.stats import ttest_ind_from_stats

    columns = ("mean", "stderr", "n", "mean_there", "stderr_there", "n_there")
    mean, ours, n, their_mean, theirs, m = (pairs[name].to_numpy(dtype=float) for name in columns)
    difference, variance = mean - their_mean, ours**2 + theirs**2
    with np.errstate(invalid="ignore", divide="ignore"):
        test = ttest_ind_from_stats(mean, ours * n**0.5, n, their_mean, theirs * m**0.5, m, equal_var=False)
        freedom = variance**2 / (ours**4 / (n - 1) + theirs**4 / (m - 1))  # Welch-Satterthwaite
    half = stdtrit(freedom, 1 - ALPHA / 2) * np.sqrt(variance)
    low, high = difference - half, difference + half
    return pairs.assign(difference=difference, ci95_low=low, ci95_high=high, p=np.asarray(test.pvalue))


def _obstacles(row, ours: Routine | None) -> Iterator[str]:
    """What differs or is not known, each as a few words."""
    if ours is None:
        yield "training (ours is not known)"
        return
    for fact in ("network", "epochs", "augmentation"):
        quoted, measured = getattr(row, fact), getattr(ours, fact)
        if pd.isna(quoted):
            yield f"{fact} (not stated there)"
        elif _canonical(quoted) != _canonical(measured):
            yield f"{fact} ({quoted if isinstance(quoted, str) else f'{quoted:g}'} there, {measured} here)"
    if row.setting != row.setting_there:
        yield f"imbalance ({row.setting_there} there)"
    if row.group != "all" and not ours.usual_groups:
        yield "groups (other thresholds here)"
    if row.selection == "not stated":
        yield "selection (not stated there)"
    elif row.selection not in HONEST:
        yield f"selection on test ({row.selection})"
    yield from _unsettled(row)


def _unsettled(row) -> Iterator[str]:
    """What keeps the numbers themselves from a test."""
    if row.status != "complete":
        yield "seeds (failed or missing here)"
    elif row.n < FEWEST_SEEDS:
        yield f"seeds (n = {row.n} here)"
    if not row.verified:
        yield "data (unverified here)"
    if pd.isna(row.stderr_there) or pd.isna(row.n_there):
        yield "error (none stated there)"
    elif pd.isna(row.p):
        yield "error (none, since the seeds do not vary)"


def _canonical(value: object) -> str:
    """So that WideResNet-28-10 is wrn-28-10, and ResNet-32 resnet32."""
    text = f"{value:g}" if isinstance(value, (int, float)) else str(value)
    return text.lower().replace("wideresnet", "wrn").replace("-", "")


def _judged(pairs: pd.DataFrame) -> pd.DataFrame:
    comparable = pairs["why"] == ""
    family = pairs[comparable].groupby(["protocol", "source"])["p"]
    adjusted = family.transform(lambda each: holm(each.to_numpy())).reindex(pairs.index)
    within = (pairs["ci95_low"] > -MARGIN) & (pairs["ci95_high"] < MARGIN)
    differs = adjusted < ALPHA
    verdict = np.select(
        [~comparable, within, differs], ["not comparable", "reproduced", "not reproduced"], default="not comparable"
    )
    wide = f"precision (the interval reaches beyond ±{MARGIN:g} points and holds 0 after the correction)"
    return pairs.assign(verdict=verdict, why=pairs["why"].mask(comparable & ~within & ~differs, wide))
