"""Data of a test's own."""

import pytest


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(tmp_path, monkeypatch):
    """No test sees the user's own data or cache, nor leaves anything in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("TAILBOARD_DATA", raising=False)
