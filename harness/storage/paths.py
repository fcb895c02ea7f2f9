"""The paths of a store's files, by what they hold: no other file spells them.

plans/NAME.json            what was asked for, by the name of its spec
searches/NAME.json         what is searched of each row of a plan that is tuned
records/KEY.json           a finished trial; written last, so that it vouches for the files below
rungs/KEY-EPOCHS.json      what a tuning trial had come to after so many epochs: its record, were it stopped there
arrays/KEY.npz             its test logits (float16), test labels and history
weights/KEY.safetensors    the final weights, where another trial needs them (.pt in stores of earlier versions)
checkpoints/KEY.pt         a trial in progress
index.npz                  what a report needs of every record (see ``index.py``); made anew where it is missing
identity                   a random name, which tells this store from every other
tracked/KEY                that MLflow has the whole of it, and in which run
tracking/NAME              a spec of which MLflow may still show runs as running, or no table
broken/KEY                 why a trial could not be finished, the last time that it was tried
silent/KEY                 where a trial stands that has said nothing for too long
driver.json                which process fills the store now
drivers/NUMBER.json        the same of a store that is no local folder; the last counts (see ``lease.py``)
progress.json              what that process tells other shells of its run
studies.db                 what Optuna knows of every search
mlflow.db                  what MLflow knows, where the spec names no server
damaged/KEY.json           a record that could not be read, or of a failure: moved out of the way of the next run
report/                    the tables of the last run

A bundle holds some of these, and beside them its manifest, ``studies/NAME.json`` (every configuration that was tried),
``plugins/SHA256.py`` and the table that it claims.
"""

from __future__ import annotations

Folder = tuple[str, str]  # its name, and how its files end

INDEX, IDENTITY, DRIVER, PROGRESS = "index.npz", "identity", "driver.json", "progress.json"
STUDIES, MLFLOW = "studies.db", "mlflow.db"
MANIFEST, TABLE = "manifest.json", "report/leaderboard.csv"
PLANS, RECORDS, RUNGS = ("plans", ".json"), ("records", ".json"), ("rungs", ".json")
SEARCHES, CONFIGURATIONS = ("searches", ".json"), ("studies", ".json")
ARRAYS, WEIGHTS, CHECKPOINTS = ("arrays", ".npz"), ("weights", ".safetensors"), ("checkpoints", ".pt")
BROKEN, TRACKED, TRACKING, PLUGINS = ("broken", ""), ("tracked", ""), ("tracking", ""), ("plugins", ".py")


def is_in(name: str, *folders: Folder) -> bool:
    """Whether a file lies in one of the folders."""
    return any(name.startswith(f"{folder}/") for folder, _ in folders)


def _in(folder: Folder, stem: str) -> str:
    return f"{folder[0]}/{stem}{folder[1]}"


def plan(name: str) -> str:
    """The file of the plan ``name``."""
    return _in(PLANS, name)


def searches(name: str) -> str:
    """The file with what the plan ``name`` searches."""
    return _in(SEARCHES, name)


def studies(name: str) -> str:
    """The file with what came of the searches of the plan ``name``, in a bundle."""
    return _in(CONFIGURATIONS, name)


def record(key: str) -> str:
    """The file of a finished trial's record."""
    return _in(RECORDS, key)


def rung(key: str, epochs: int) -> str:
    """The file of a trial's record after ``epochs`` epochs of a search."""
    return rung_named(f"{key}-{epochs:04d}")


def rung_named(name: str) -> str:
    """Of a rung whose key and epochs are written KEY-EPOCHS."""
    return _in(RUNGS, name)


def arrays(key: str) -> str:
    """The file of a trial's arrays."""
    return _in(ARRAYS, key)


def weights(key: str) -> str:
    """The file of a trial's weights."""
    return _in(WEIGHTS, key)


def torch_weights(key: str) -> str:
    """Where earlier versions wrote the weights."""
    return f"weights/{key}.pt"


def checkpoint(key: str) -> str:
    """The file of a trial's checkpoint."""
    return _in(CHECKPOINTS, key)


def lease(number: int) -> str:
    """The file of the driver with this number."""
    return f"drivers/{number}.json"


def damaged(name: str) -> str:
    """The file that a damaged record is moved to."""
    return f"damaged/{name}.json"


def broken(key: str) -> str:
    """The file that says why a trial was not finished."""
    return _in(BROKEN, key)


def silent(key: str) -> str:
    """The file with the stack of a trial that stopped reporting."""
    return f"silent/{key}"


def tracked(key: str) -> str:
    """The file that says under which MLflow run a trial is."""
    return _in(TRACKED, key)


def tracking(name: str) -> str:
    """The file that is there while MLflow lacks something of the plan ``name``."""
    return _in(TRACKING, name)


def plugin(digest: str) -> str:
    """The file of a plugin's source, by its SHA-256."""
    return _in(PLUGINS, digest)


def report(name: str) -> str:
    """A file of the report that a run writes."""
    return f"report/{name}"
