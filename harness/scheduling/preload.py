"""What a worker that Ray starts with itself imports before it is given a trial.

An error stays inside: Ray would start one such worker after the other. The trial's own import says it, in its record or
in the line of its next try.
"""

from contextlib import suppress

with suppress(Exception):
    from . import ray_trials, worker  # noqa: F401
