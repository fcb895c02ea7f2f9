"""What the report says of the tuning: values, budget, importance, and what another budget would have found."""

from __future__ import annotations

from collections.abc import Sequence

from .chosen import Tuned


def caption(searches: Sequence[Tuned]) -> list[str]:
    """What was spent on tuning, in sentences."""
    tune = searches[0].search.tune
    found = [c for one in searches for c in one.configurations]
    hours, epochs = sum(c.seconds for c in found) / 3600, sum(c.epochs for c in found)
    return [
        f"Each method with something to tune got {tune.trials} trials, its default values the first, judged by "
        f"{tune.metric} on validation images that no training saw, with seeds that no row uses.",
        f"{sum(one.ended for one in searches)} tuning trials and {epochs} epochs took {hours:.2g} device-hours.",
    ]
