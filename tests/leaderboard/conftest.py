"""Chromium, and pages that are open in it: nothing may be said on the console or asked of any network."""

import pytest

from page_content import SUBJECT
from page_tabs import CATCH, CHROMIUM, NO_CHARTS, WIDE, Tabs, until
from tailboard.harness.reporting.pages.html_pages import _library
from tailboard.leaderboard.html import page


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM)
        yield started
        started.close()


@pytest.fixture(scope="module")
def tabs(browser, tmp_path_factory):
    found = Tabs(browser)
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(page.html(SUBJECT, _library()), encoding="utf-8")
    found.shared = found.open(path)
    return found


@pytest.fixture
def opened(tabs):
    """``opened("#few=3")``: the page of SUBJECT at a link, as if just opened there."""

    def at(words="#sort="):  # in the spec's order, as the report prints it
        tab = tabs.shared
        tab.emulate_media(media="screen", color_scheme="light")
        tab.set_viewport_size(WIDE)
        tab.evaluate("document.querySelectorAll('dialog').forEach((dialog) => dialog.close())")
        tab.evaluate("words => { location.hash = words + '&fresh=1'; }", words.lstrip("#"))
        until(tab, "!location.hash.includes('fresh')")
        return tab

    yield at
    told, tabs.troubles = tabs.troubles, []
    assert told == []


@pytest.fixture
def elsewhere(tabs, tmp_path):
    """``elsewhere(subject, words="#sort=")``: the page of another subject at a link, in a tab of its own."""

    def at(subject, script=CATCH, words=""):
        (tmp_path / "p.html").write_text(page.html(subject, NO_CHARTS), encoding="utf-8")
        return tabs.open(tmp_path / "p.html", script, words)

    yield at
    told, tabs.troubles = tabs.troubles, []
    assert told == []
