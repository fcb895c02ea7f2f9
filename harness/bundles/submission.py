"""``tailboard submit``: a bundle is checked, and put under its SHA-256 into a folder or a local clone of a repository,
with a summary that is made from its verified numbers.

FOLDER/SHA256.zip    the bundle, byte for byte; in a repository below bundles/
FOLDER/SHA256.json   what is in it, as :func:`summary` makes it

Nothing in a bundle names a place or is run. In a repository the files become one commit on a branch of their own: what
is checked out stays, and nothing is sent anywhere.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...leaderboard.formats.records import json as cells_json
from ..errors import NoBundle, StoreError
from ..reporting import gather
from .bundle import Bundle
from .record_checks import Mismatch
from .split_checks import SplitConsistency
from .verify import verify

FORMAT = "tailboard submission 1"
BUNDLES = "bundles"  # the folder of a repository
IDENTITY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")  # of another repository, where a hook calls us


@dataclass(frozen=True)
class Submission:
    """What became of a bundle: what does not hold of it, and if nothing, where it is."""

    differences: list[Mismatch]
    path: Path | None = None
    branch: str = ""
    already: bool = False


def submit(bundle: Path, goal: Path) -> Submission:
    """Check a bundle and put a copy of it where it is collected.

    Args:
        bundle: The file.
        goal: A folder, which is made where there is none, or the top of a local clone.

    Returns:
        Where it is, or what does not hold.

    Raises:
        NoBundle: where the file is none, or nothing can be put there.
        BundleError: where it names what has no place in a bundle.
        StoreError: where git refuses.
    """
    _check_goal(goal)
    with _checked_copy(bundle) as (copy, digest, differences, about):
        if differences:
            return Submission(differences)
        text = json.dumps(about, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        if (goal / ".git").exists():
            return _commit(goal, copy, digest, text)
        already = (goal / f"{digest}.zip").exists()
        return Submission([], _put(goal, copy, digest, text), already=already)


def _check_goal(goal: Path) -> None:
    """NoBundle where a bundle cannot be put there, before it is checked, which may take long."""
    if "://" in str(goal) or re.match(r"[\w.-]+@[\w.-]+:", str(goal)) or re.match(r"\w+:/", str(goal)):
        raise NoBundle(f"--to: {goal} is not on this machine: git clone it, and name the clone")
    if goal.exists() and not goal.is_dir():
        raise NoBundle(f"--to: {goal} is a file; name a folder or a local clone")
    if (goal / "HEAD").is_file() and (goal / "objects").is_dir():
        raise NoBundle(f"--to: {goal} is a repository without files of its own: git clone it, and name the clone")
    if (goal / ".git").exists() and not _git(goal, "rev-list", "--all", "--max-count=1"):
        raise NoBundle(f"--to: {goal} has no commit yet that a branch could begin with")


@contextmanager
def _checked_copy(bundle: Path) -> Iterator[tuple[Path, str, list[Mismatch], dict[str, Any]]]:
    """A copy that nobody else changes, its SHA-256, what does not hold of it, and its summary where all does."""
    with tempfile.TemporaryDirectory(prefix="tailboard-submit-") as folder:
        copy = Path(folder) / "bundle.zip"
        Bundle(bundle).close()  # a file that is none is not copied
        shutil.copyfile(bundle, copy)
        place = Bundle(copy)
        digest, place.url = place.digest, str(bundle)  # what messages name
        try:
            differences = verify(place, SplitConsistency(local=False))
            yield copy, digest, differences, {} if differences else summary(place, digest)
        finally:
            place.close()


def summary(bundle: Bundle, digest: str) -> dict[str, Any]:
    """What a bundle holds, for programs: made from the accuracies that were recomputed, whatever it says itself.

    Args:
        bundle: One that was verified.
        digest: Its SHA-256.
    """
    report = gather.gather([bundle])
    manifest = bundle.manifest()
    return {
        "format": FORMAT,
        "sha256": digest,
        "bytes": bundle.size,
        "records": len(bundle.finished()),
        "complete": report.complete,
        "plans": {name: len(keys) for name, keys in sorted(manifest.plans.items())},
        "plugins": sorted(digest for spec in bundle.plans() for digest in spec.plugins),
        "code": manifest.code,
        "cells": json.loads(cells_json(report.rows, report.metric)),
    }


def _put(folder: Path, copy: Path, digest: str, text: str) -> Path:
    """Write both files into a folder, each whole or not at all; where the bundle is."""
    if folder.is_symlink() and folder.name == BUNDLES:
        raise StoreError(f"--to: {BUNDLES} in the repository is a link; nothing is written through it")
    folder.mkdir(parents=True, exist_ok=True)
    goal = folder / f"{digest}.zip"
    for path, data in ((goal, None), (goal.with_suffix(".json"), text.encode())):
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".submit-", delete=False) as part:
            try:
                if data is None:
                    with copy.open("rb") as source:
                        shutil.copyfileobj(source, part)
                else:
                    part.write(data)
                part.flush()
                Path(part.name).chmod(0o644)
                Path(part.name).replace(path)  # a link that stood there is gone, not followed
            except BaseException:
                Path(part.name).unlink(missing_ok=True)
                raise
    return goal


def _commit(clone: Path, copy: Path, digest: str, text: str) -> Submission:
    """One commit on a branch of its own, made beside what is checked out."""
    branch = f"submit-{digest[:12]}"
    path = clone / BUNDLES / f"{digest}.zip"
    if _git(clone, "branch", "--list", branch) or path.exists():
        return Submission([], path, branch, already=True)
    with tempfile.TemporaryDirectory(prefix="tailboard-submit-") as folder:
        tree = Path(folder) / "tree"
        _git(clone, "worktree", "add", "--quiet", "-b", branch, str(tree), "HEAD")
        try:
            _put(tree / BUNDLES, copy, digest, text)
            _git(tree, "add", "--force", "--", *(f"{BUNDLES}/{digest}{ending}" for ending in (".zip", ".json")))
            _git(tree, "commit", "--quiet", "-m", f"Submit bundle {digest}")
        except BaseException:
            _git(clone, "worktree", "remove", "--force", str(tree))
            _git(clone, "branch", "--quiet", "-D", branch)
            raise
        _git(clone, "worktree", "remove", "--force", str(tree))
    return Submission([], path, branch)


def _git(place: Path, *words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in IDENTITY}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    command = ["git", "-C", str(place), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)  # noqa: S603
    except FileNotFoundError:
        raise StoreError("git is not installed: name a folder that is no repository") from None
    if done.returncode:
        raise StoreError(f"git {words[0]} in {place}: {' '.join(done.stderr.split()) or 'failed'}")
    return done.stdout.strip()
