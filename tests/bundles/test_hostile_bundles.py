"""Files that are no bundle, or that would do harm: refused in a line, and nothing runs or fills the memory."""

from __future__ import annotations

import io
import re
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from forged_bundles import Forger, contents, zipped
from tailboard.harness.bundles.bundle import Bundle
from tailboard.harness.bundles.export import export
from tailboard.harness.bundles.split_checks import SplitConsistency
from tailboard.harness.bundles.verify import verify
from tailboard.harness.errors import BundleError, NoBundle, StoreError

# Files that are no bundle, or that would do harm


def entry(name: str, mode: int = 0o100644, **changes: Any) -> zipfile.ZipInfo:
    found = zipfile.ZipInfo(name)
    found.external_attr = mode << 16
    for field, value in changes.items():
        setattr(found, field, value)
    return found


HOSTILE = {
    "up": (entry("../outside.json"), r"'\.\./outside\.json' climbs out of the bundle"),
    "up later": (entry("records/../../outside.json"), "climbs out of the bundle"),
    "up on Windows": (entry("records\\..\\..\\outside.json"), "climbs out of the bundle"),
    "absolute": (entry("/etc/outside"), "'/etc/outside' is an absolute path"),
    "drive": (entry("C:\\outside"), "is an absolute path"),
    "drive without a slash": (entry("c:outside"), "is an absolute path"),
    "share": (entry("\\\\host\\share"), "is an absolute path"),
    "link": (entry(f"records/{'0' * 20}.json", 0o120777), r"records/0{20}\.json' is a link"),
    "device": (entry(f"records/{'0' * 20}.json", 0o020666), "is no plain file"),
    "folder": (entry("records/"), "'records/' is no file of a bundle"),
    "torch": (entry(f"weights/{'0' * 20}.pt"), r"\.pt' is no file of a bundle"),
    "database": (entry("studies.db"), "is no file of a bundle"),
    "code": (entry("plugins/x.py"), "is no file of a bundle"),
    "escape": (entry("records/\x1b[2J.json"), r"is no file of a bundle"),
    "twice": (entry("plans/t.json"), r"'plans/t\.json' is in it twice"),
    "compressed": (entry("plugins/" + "0" * 64 + ".py", compress_type=zipfile.ZIP_DEFLATED), "is compressed"),
}


@pytest.mark.slow
@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_no_export_writes_is_refused_in_one_line(bundle, tmp_path, tailboard, hostile):
    added, words = HOSTILE[hostile]
    path = zipped(tmp_path / "forged.zip", *contents(bundle).items(), (added, b"x" * 100))
    before = sorted(tmp_path.parent.rglob("*"))
    for command in ("verify", "report"):
        code, out, err = tailboard(command, path)
        assert (code, out) == (3, "") and re.fullmatch(rf"error: .*forged\.zip is refused: .*{words}.*\n", err), err
    assert sorted(tmp_path.parent.rglob("*")) == before, "and nothing was unpacked anywhere"


@pytest.mark.parametrize("command", ["verify", "report"])
@pytest.mark.parametrize("what", ["text", "empty", "zip", "cut", "absent"])
def test_what_is_no_bundle_is_said_to_be_none(bundle, tmp_path, tailboard, what, command):
    path = tmp_path / "x.zip"
    if what == "zip":
        zipped(path, ("hello.txt", b"hello"))
    elif what != "absent":
        whole = bundle.read_bytes()
        path.write_bytes({"text": b"no zip at all", "empty": b"", "cut": whole[: len(whole) // 2]}[what])
    code, out, err = tailboard(command, path)
    assert (code, out) == (1, "") and re.fullmatch(r"error: (there is no file|.* is no bundle: ).*\n", err), err


def test_a_folder_is_said_to_be_a_store_or_none(store, tmp_path, tailboard):
    code, out, err = tailboard("verify", store)
    assert (code, out) == (1, "")
    assert err == f"error: {store} is a store: tailboard export {store} -o mine.zip makes a bundle of it\n"
    assert tailboard("verify", tmp_path)[2] == f"error: {tmp_path} is a folder, and a bundle is a file\n"


def peak_of(action: Callable[[], Any]) -> int:
    tracemalloc.start()
    action()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def bomb(size: int) -> bytes:
    """Zeros that say how many they are, as an array file of a record's."""
    buffer, header = io.BytesIO(), {"descr": "|u1", "fortran_order": False, "shape": (size,)}
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("last.npy", "w", force_zip64=True) as file,
    ):
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
    return buffer.getvalue()


def test_a_compressed_bomb_is_refused_unread(bundle, tmp_path):
    """By its compression, whatever size its header claims: the true one, or a small one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", bytes(64 << 20))
    for claim in (64 << 20, 10):
        data = bytearray(buffer.getvalue())
        at = data.rindex(b"PK\x01\x02")
        data[at + 24 : at + 28] = struct.pack("<I", claim)
        (tmp_path / "x.zip").write_bytes(data)
        with pytest.raises(BundleError, match="is compressed"):
            Bundle(tmp_path / "x.zip")


def test_a_header_that_claims_more_than_there_is_allocates_nothing(bundle, tmp_path):
    data = bytearray(bundle.read_bytes())
    at = data.rindex(b"PK\x01\x02")  # the manifest
    data[at + 20 : at + 28] = struct.pack("<II", 4_000_000_000, 4_000_000_000)
    (tmp_path / "x.zip").write_bytes(data)

    def read() -> None:
        with pytest.raises(BundleError, match="claim to be larger than it is"):
            Bundle(tmp_path / "x.zip")

    assert peak_of(read) < 1 << 20


def test_entries_that_lie_over_each_other_are_a_bomb_too(bundle, tmp_path):
    """One megabyte that a hundred names share."""
    inside = contents(bundle)
    names = [f"arrays/{number:020x}.npz" for number in range(100)]
    path = zipped(
        tmp_path / "x.zip",
        *inside.items(),
        *((name, b"") for name in names),
        (f"arrays/{'f' * 20}.npz", bytes(1 << 20)),
    )
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        large = archive.infolist()[-1]
    for name in names:
        at = data.rindex(name.encode()) - 46
        data[at + 20 : at + 28] = struct.pack("<II", 1 << 20, 1 << 20)
        data[at + 42 : at + 46] = struct.pack("<I", large.header_offset)
    path.write_bytes(data)
    with pytest.raises(BundleError, match="claim to be larger than it is"):
        Bundle(path)


def commented(data: bytes) -> bytes:
    return data[:-2] + struct.pack("<H", 7) + b"comment"


def between(data: bytes) -> bytes:
    """The table of contents later, and where it is said to be."""
    at = struct.unpack_from("<L", data, len(data) - 6)[0]
    return data[:at] + b"hidden" + data[at:-6] + struct.pack("<L", at + 6) + data[-2:]


def extra_field(data: bytes) -> bytes:
    """Six bytes more in the line of the last file."""
    line, size = data.rindex(b"PK\x01\x02"), struct.unpack_from("<L", data, len(data) - 10)[0]
    grown = data[: line + 30] + struct.pack("<H", 6) + data[line + 32 : -22] + b"\x99\x99\x02\x00hi"
    return grown + data[-22:-10] + struct.pack("<L", size + 6) + data[-6:]


def local_name(data: bytes) -> bytes:
    """Another where the file lies than where it is listed: some programs would unpack it under this one."""
    return data.replace(b"report/leaderboard.csv", b"report/leaderboard.exe", 1)


def local_extra(data: bytes) -> bytes:
    """The last file's own header has a field more; all that is behind it is later."""
    line = data.rindex(b"PK\x01\x02")
    at, start = struct.unpack_from("<L", data, line + 42)[0], struct.unpack_from("<L", data, len(data) - 6)[0]
    named = at + 30 + struct.unpack_from("<H", data, at + 26)[0]
    grown = data[: at + 28] + struct.pack("<H", 6) + data[at + 30 : named] + b"\x99\x99\x02\x00hi" + data[named:-6]
    return grown + struct.pack("<L", start + 6) + data[-2:]


def permitted(mode: int) -> Callable[[bytes], bytes]:
    """The first file's line in the table of contents with these permissions, which unzip would give it."""

    def change(data: bytes) -> bytes:
        at = struct.unpack_from("<L", data, len(data) - 6)[0] + 38
        return data[:at] + struct.pack("<L", (0o100000 | mode) << 16) + data[at + 4 :]

    return change


LAID_OUT = {
    **{permitted(mode): "may be executed, or run as another user" for mode in (0o4644, 0o2644, 0o1644, 0o744, 0o645)},
    lambda data: b"#!/bin/sh\nexit\n" + data: r"'report/leaderboard\.csv' begins at byte 15 where 0 is expected",
    lambda data: data + b"behind": "it does not end with its table of contents",
    commented: "it does not end with its table of contents",
    between: r"its table of contents begins at byte \d+ where \d+ is expected",
    extra_field: "has a comment or a field that no export writes",
    local_name: r"'report/leaderboard\.csv' is headed otherwise than its table of contents says",
    local_extra: r"'manifest\.json' is headed otherwise than its table of contents says",
}


@pytest.mark.parametrize("change", LAID_OUT)
def test_bytes_that_no_hash_covers_are_refused(bundle, tmp_path, tailboard, change):
    path = tmp_path / "x.zip"
    path.write_bytes(change(bundle.read_bytes()))
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == len(contents(bundle)), "zipfile minds nothing"
    code, out, err = tailboard("verify", path)
    assert (code, out) == (3, "") and re.search(rf"error: .*x\.zip is refused: .*{LAID_OUT[change]}\n", err), err


@pytest.mark.parametrize("limits", [{"ZIP64_LIMIT": 1000}, {"ZIP64_LIMIT": 100_000}, {"ZIP_FILECOUNT_LIMIT": 5}])
def test_a_large_bundle_is_laid_out_by_zip64(store, tmp_path, monkeypatch, limits):
    """Files, offsets and counts that need it, made small: what is read here is what zipfile writes then."""
    for name, most in limits.items():
        monkeypatch.setattr(f"zipfile.{name}", most)
        monkeypatch.setattr(
            f"tailboard.harness.bundles.zip_layout.{'LARGE' if name == 'ZIP64_LIMIT' else 'MANY'}", most
        )
    path = tmp_path / "large.zip"
    assert export(store, path) == [] and b"PK\x06\x06" in path.read_bytes()
    path.write_bytes(b"x" + path.read_bytes())
    with pytest.raises(StoreError, match=r"refused: .* begins at byte 1|is no bundle"):
        Bundle(path)


def test_a_table_of_contents_that_would_fill_memory_is_not_read(tmp_path):
    path = tmp_path / "x.zip"
    with path.open("wb") as file:
        file.truncate(200 << 20)  # a hole
        file.seek(0, 2)
        file.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 200 << 20, 0, 0))

    def read() -> None:
        with pytest.raises(NoBundle, match="its table of contents is larger"):
            Bundle(path)

    assert peak_of(read) < 1 << 20


@pytest.mark.slow
@pytest.mark.parametrize(("claim", "words"), [(None, "it would unpack to 0.39 GiB"), (200, "Bad CRC")])
def test_arrays_that_are_a_bomb_are_refused_before_they_are_unpacked(bundle, tmp_path, monkeypatch, claim, words):
    """400 MiB, of which the zip around them tells the truth, or that they are a few bytes."""
    monkeypatch.setattr("tailboard.harness.bundles.bundle.LEEWAY", 0)
    forger = Forger(bundle)
    data = bytearray(bomb(400 << 20))
    if claim:
        at = data.rindex(b"PK\x01\x02")
        data[at + 24 : at + 28] = struct.pack("<I", claim)
    forger.put(bytes(data))
    forger.seal()
    path, found = forger.write(tmp_path / "x.zip"), []
    assert peak_of(lambda: found.extend(verify(Bundle(path), SplitConsistency(local=False)))) < 64 << 20
    assert any(each.file == forger.array and words in each.found for each in found), found


def test_many_small_bombs_are_one(bundle, tmp_path, monkeypatch):
    """Each array may be as large as it likes; all together may not be out of proportion to the bundle."""
    monkeypatch.setattr("tailboard.harness.bundles.bundle.LEEWAY", 0)
    forger, data = Forger(bundle), bomb(30 << 20)
    keys = [name[8:-5] for name in forger.files if name.startswith("records/")]
    for key in keys:
        forger.array, forger.record = f"arrays/{key}.npz", f"records/{key}.json"
        forger.put(data)
    forger.seal()
    place = Bundle(forger.write(tmp_path / "x.zip"))
    assert len(keys) * (30 << 20) > 100 * place.size
    refused = [each for each in verify(place, SplitConsistency(local=False)) if "it would unpack to" in each.found]
    assert 0 < len(refused) < len(keys)


def test_an_array_file_of_a_million_entries_is_not_listed(tmp_path):
    from tailboard.harness.storage.serialization import unpack_arrays

    def read() -> None:
        with pytest.raises(ValueError, match="more than 1000 arrays"):
            unpack_arrays(b"PK\x01\x02" * 100_000)

    assert peak_of(read) < 1 << 20


@pytest.mark.parametrize(
    ("many", "why"), [(500, "stands for more trials than manifest.json lists"), (100_000, "that a plan may hold")]
)
def test_a_plan_that_stands_for_more_than_memory_holds_is_not_made(bundle, tmp_path, many, why):
    forger = Forger(bundle)
    forger.edit("plans/t.json", lambda raw: raw.update(seeds=list(range(many)), networks=["small"] * many))
    forger.seal()
    path = forger.write(tmp_path / "x.zip")
    found: list[Any] = []
    assert peak_of(lambda: found.extend(verify(Bundle(path)))) < 64 << 20
    assert any(why in each.found for each in found)
