"""A run needs neither HOME nor a user with a name; and it leaves the environment as it was."""

from __future__ import annotations

import getpass
import os
import pwd
from pathlib import Path

import pytest

from tailboard.datasets.catalog import DataError
from tailboard.datasets.files import cache, roots
from tailboard.harness.errors import StoreError
from tailboard.harness.scheduling.home_folder import usable_home
from tailboard.harness.storage.store import Store


@pytest.mark.parametrize("home", [None, "/", "/proc", "/nowhere"])
def test_a_home_that_cannot_be_written_is_replaced_for_the_run(monkeypatch, home):
    if home is None:
        monkeypatch.delenv("HOME", raising=False)
    else:
        monkeypatch.setenv("HOME", home)
    with usable_home():
        made = Path.home()
        (made / ".ray").mkdir()
    assert os.environ.get("HOME") == home and not made.exists()


def test_a_home_that_can_be_written_stays(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with usable_home():
        assert Path.home() == tmp_path
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def nameless(monkeypatch):
    """The user has no entry in the system's list, no HOME and no name in the environment."""

    def unknown(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "XDG_CACHE_HOME", "TAILBOARD_DATA"):
        monkeypatch.delenv(name, raising=False)


def test_a_user_without_a_name_has_one_in_a_run(nameless):
    with usable_home():
        assert getpass.getuser() == str(os.getuid()) and cache().is_relative_to(Path.home())
    assert "USER" not in os.environ


def test_without_a_home_nothing_is_kept_and_nothing_breaks(nameless):
    assert not cache().exists() and roots(Path("/data")) == [Path("/data"), cache()]
    with pytest.raises(StoreError, match="cannot be a store"):
        Store("~/x")
    with pytest.raises(DataError, match="the data folder cannot be found"):
        roots(Path("~/x"))


def test_a_relative_cache_counts_for_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    assert cache() == tmp_path / ".cache" / "tailboard"
