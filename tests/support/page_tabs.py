"""Tabs of a browser, and what stands in a page that is open in one."""

import csv
import io
import shutil

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from page_content import SETTINGS
from tailboard.leaderboard.formats import text as text_module

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
browsing = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; on Debian: apt-get install chromium"),
]
CATCH = "navigator.clipboard.writeText = async (text) => { window.caught = text; }"
WIDE = {"width": 1400, "height": 900}
TITLE = """(name => {
  const { xaxis, yaxis } = document.getElementById(`chart-${name}`).layout;
  return (name === "seeds" ? xaxis : yaxis).title.text.replaceAll("<br>", " ");
})"""
NO_CHARTS = "const Plotly = { react() {} };"  # where a test is of numbers only, and another page has charts


class Tabs:
    """Tabs in which nothing may be said on the console, asked of any network, or asked of the reader."""

    def __init__(self, browser):
        self.browser, self.troubles, self.shared = browser, [], None

    def open(self, path, script=CATCH, words=""):
        tab = self.browser.new_context(offline=True, viewport=WIDE).new_page()
        tab.set_default_timeout(20_000)
        tab.add_init_script(script)
        tab.on("console", lambda message: self.troubles.append(message.text))
        tab.on("pageerror", lambda error: self.troubles.append(str(error)))
        tab.on("dialog", lambda dialog: (self.troubles.append(dialog.message), dialog.dismiss()))
        tab.on("request", lambda request: self.ask(request.url, path))
        tab.goto(path.as_uri() + words)
        return tab

    def ask(self, url, path):
        if url.split("#")[0] != path.as_uri() and not url.startswith(("data:", "blob:")):
            self.troubles.append(url)


def serious(tab):
    """What axe-core finds of weight: each rule, and where it is broken."""
    found = [each for each in Axe().run(tab).response["violations"] if each["impact"] in ("serious", "critical")]
    return [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found]


def until(tab, holds):
    """Playwright's own waiting would evaluate the text inside the page, whose policy forbids that."""
    for _ in range(1000):
        if tab.evaluate(holds):
            return
        tab.wait_for_timeout(10)
    raise AssertionError(holds)


def drawn(tab, *names):
    """Scroll to charts, since only those in sight are drawn."""
    for name in names or ("classes", "seeds", "learning", "cost", "budget"):
        tab.locator(f"figure:has(#chart-{name})").scroll_into_view_if_needed()
        until(tab, f"!stale.has('{name}')")


def grid(tab, rows="#body tr"):
    """The texts of a table but for the column of tiers."""
    texts = "[...row.cells].filter(cell => !cell.matches('.tier')).map(cell => cell.textContent)"
    return tab.eval_on_selector_all(rows, f"rows => rows.map(row => {texts})")


def copied(tab, form):
    """What a button copies; the page says so once the clipboard has it."""
    tab.evaluate("window.caught = undefined")
    tab.click(f"#copy-{form}")
    until(tab, "window.caught !== undefined")
    until(tab, "document.getElementById('told').textContent.endsWith('is in the clipboard.')")
    return tab.evaluate("caught")


def lines(text):
    return list(csv.DictReader(io.StringIO(text)))


def same(ours, theirs, names):
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        for name in names:
            if isinstance(other[name], float):
                assert (
                    np.isnan(other[name])
                    if mine[name] == ""
                    else float(mine[name]) == pytest.approx(other[name], rel=1e-9, abs=1e-9)
                )
            else:
                assert mine[name] == str(other[name]), (name, mine, other)


def in_place(frame):
    """Rows of the first table, in the order of the page."""
    frame = frame[frame["protocol"] == SETTINGS[0][2]].assign(method=frame["method"].map(text_module.plain))
    return frame.to_dict("records")
