"""``tailboard export``: what a store holds of its plans, as one file that a stranger can check."""

from __future__ import annotations

import fcntl
import glob
import hashlib
import os
import uuid
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from ..errors import StoreError, first_fault
from ..planning.reported import judges, known_trials
from ..reporting import gather
from ..spec.schema import Spec, Tracking
from ..storage import paths
from ..storage.columns.stamps import Stamps
from ..storage.files import sync_folder
from ..storage.lease import is_driven
from ..storage.reader import StoreReader
from ..storage.record import Record
from ..storage.store import Store
from ..text import redact_paths
from ..tuning.archive import dump_studies, load_searches
from .bundle import Bundle
from .manifest import EnvironmentCounts, Manifest, keys
from .record_checks import Mismatch
from .verify import verify

WRITTEN = (1980, 1, 1, 0, 0, 0)  # of every file in every bundle, so that its bytes tell of nothing else


class RedactedStore(Store):
    """A store without what is nobody else's business: where its MLflow is, the tracebacks and the folders that name
    users and machines."""

    def read(self, name: str) -> bytes:
        """As in :class:`ReadablePlace`, with the paths of this machine taken out of plans and records. StoreError where
        one is damaged."""
        data, is_plan = super().read(name), paths.is_in(name, paths.PLANS)
        if not is_plan and not paths.is_in(name, paths.RECORDS, paths.RUNGS):
            return data
        try:
            return _plan(data) if is_plan else _record(data)
        except ValidationError as error:
            raise StoreError(f"{self.url}/{name} is damaged: {first_fault(error)}") from error

    @property
    def direct(self) -> bool:
        """No record is told as it lies there."""
        return False

    def stamps(self) -> Stamps:
        """No record has one, so that each is read."""
        return StoreReader.stamps(self)  # an index of its records holds what is nobody's business


def _plan(data: bytes) -> bytes:
    spec = Spec.model_validate_json(data)
    return spec.model_copy(update={"tracking": Tracking()}).model_dump_json(indent=1).encode()


def _record(data: bytes) -> bytes:
    record = Record.model_validate_json(data)
    return record.model_copy(update={"log": "", "reason": redact_paths(record.reason)}).model_dump_json().encode()


def export(store: Store, goal: Path) -> list[Mismatch]:
    """Write the bundle of all plans of a store to ``goal``: the same store, the same bytes.

    What it would not hold by (see :func:`verify`); there is no file then. StoreError where there is no store, a record
    is damaged, or a run fills it now.
    """
    shared = RedactedStore(store.url)
    specs = shared.plans()
    if is_driven(store):
        raise StoreError(f"{store} is being filled by a run; export it once that has ended")
    with _part(goal) as part:
        with part.open("wb") as file:
            with zipfile.ZipFile(file, "w") as archive:
                _fill(archive, shared, specs)
            os.fsync(file.fileno())
        bundle = Bundle(part)
        try:
            mismatches = verify(bundle)
        finally:
            bundle.close()
        if not mismatches:
            part.replace(goal)
            sync_folder(goal.parent)
        return mismatches


@contextmanager
def _part(goal: Path) -> Iterator[Path]:
    """The name under which ``goal`` is written, which is gone afterwards; what exports that were killed left goes too:
    the kernel has let go of their locks."""
    for left in goal.parent.glob(f".{glob.escape(goal.name)}.*.part"):
        with suppress(OSError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()
    part = goal.with_name(f".{goal.name}.{uuid.uuid4().hex}.part")
    with part.open("xb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)


def _fill(archive: zipfile.ZipFile, shared: RedactedStore, specs: Sequence[Spec]) -> None:
    files, tally = {}, EnvironmentCounts()
    for name, data in _contents(shared, specs):
        if paths.is_in(name, paths.RECORDS):
            tally.add(Record.model_validate_json(data))
        files[name] = hashlib.sha256(data).hexdigest()
        _write(archive, name, data)
    plans = {spec.name: keys(spec, shared) for spec in specs}
    manifest = Manifest(plans=plans, environments=tally.environments, code=tally.code, files=files)
    _write(archive, paths.MANIFEST, manifest.model_dump_json(indent=1).encode())


def _contents(shared: RedactedStore, specs: Sequence[Spec]) -> Iterator[tuple[str, bytes]]:
    """Each file but the manifest, in an order that is always the same."""
    yield paths.TABLE, gather.gather([shared]).without_costs("csv").encode()
    for spec in specs:
        yield (name := paths.plan(spec.name)), shared.read(name)
        if spec.tune:
            yield (name := paths.searches(spec.name)), shared.read(name)
            if shared.has(paths.STUDIES):
                yield (
                    paths.studies(spec.name),
                    dump_studies(spec, load_searches(spec, shared), shared, redact_paths),
                )
    plugins = {digest: text for spec in specs for digest, text in spec.plugins.items()}
    for digest in sorted(plugins):
        yield paths.plugin(digest), plugins[digest].encode()
    known = [trial for spec in specs for trial in known_trials(spec, shared)]
    trials = {trial.key for trial in (*known, *judges(known))}
    for rung in (name for name in shared.rungs() if name.partition("-")[0] in trials):
        yield (name := paths.rung_named(rung)), shared.read(name)
    arrays = shared.names(*paths.ARRAYS)
    for key in sorted(shared.finished() & trials):
        yield (name := paths.record(key)), shared.read(name)
        if key in arrays and shared.record(key).files:
            yield (name := paths.arrays(key)), shared.read(name)


def _write(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, WRITTEN)
    entry.create_system, entry.external_attr = 3, 0o100644 << 16
    archive.writestr(entry, data)  # not compressed: other versions of zlib give other bytes
