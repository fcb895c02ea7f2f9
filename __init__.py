"""tailboard: a distributed benchmark harness, with a leaderboard, for learning under class imbalance.

The four folders are the architecture: ``datasets`` (what is learned from), ``methods`` (how it is learned),
``leaderboard`` (what came out) and ``harness`` (from a spec to rows; the only one that imports the others).
"""

__version__ = "0.1.0"


class UserError(Exception):
    """An error that is the user's to mend: its message is written for the user, who sees no traceback.

    ``exit_code`` is the code with which the command ends.
    """

    exit_code = 1
