"""The file of a page: its scripts, its data, and that a text in it is only ever text."""

import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from page_content import EVIDENCE, ROWS, SUBJECT
from tailboard.harness.reporting.pages.html_pages import _eager, _library
from tailboard.leaderboard.formats import text as text_module
from tailboard.leaderboard.html import page
from tailboard.leaderboard.html.data import content
from tailboard.leaderboard.html.model import Evidence, PageContent


class Scripts(HTMLParser):
    """What a browser takes for the scripts of a page, and its tags."""

    def __init__(self, text):
        super().__init__(convert_charrefs=False)
        self.scripts, self.tags, self.within = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.within = dict(attrs)
            self.scripts.append([self.within, ""])

    def handle_endtag(self, tag):
        self.within = None if tag == "script" else self.within

    def handle_data(self, data):
        if self.within is not None:
            self.scripts[-1][1] += data


def test_only_the_scripts_that_are_its_own_may_run_and_nothing_is_fetched():
    found = Scripts(page.html(SUBJECT, "var library = 1;"))
    (policy,) = [a["content"] for tag, a in found.tags if a.get("http-equiv") == "Content-Security-Policy"]
    (_, data), (_, own), (_, behind), (_, library) = found.scripts
    assert library == "var library = 1;"
    assert policy == page.policy(own, library)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert not re.search(r"connect-src|https?:|unsafe-eval|script-src[^;]*unsafe|\*", policy)
    assert [a for tag, a in found.tags if {"src", "srcset"} & set(a)] == []
    assert [a["href"] for tag, a in found.tags if "href" in a] == ["#table"]
    shown = json.loads(data)
    for line, text in zip(shown["lines"], behind.split("\n"), strict=True):
        line["behind"] = json.loads(text)
    assert shown == json.loads(json.dumps(content(SUBJECT)))


def test_no_name_is_declared_by_two_of_its_scripts():
    """They are one script in the end, where the later of two functions would take the earlier's place."""
    texts = [(page.FOLDER / f"{name}.js").read_text(encoding="utf-8") for name in page.SCRIPTS]
    names = Counter(re.findall(r"^(?:async )?(?:function|const|let|class) (\w+)", "\n".join(texts), re.MULTILINE))
    assert len(names) > 100 and [name for name, count in names.items() if count > 1] == []


@pytest.mark.slow
@given(st.text(), st.text())
@settings(max_examples=15, deadline=None)
def test_no_text_ends_the_block_of_data_or_the_title(title, name):
    rows = ROWS[ROWS["method"] == "ERM"].assign(method=name)
    found = Scripts(page.html(PageContent(title, rows, notes=[name]), "0"))
    assert len(found.scripts) == 4
    assert json.loads(found.scripts[0][1])["methods"] == [text_module.plain(name)]
    assert {tag for tag, _ in found.tags} == {tag for tag, _ in Scripts(page.html(SUBJECT, "0")).tags}


def test_the_day_of_the_last_training_is_only_ever_text():
    """It is the beginning of what a record says."""
    day = '9"><img x='
    ended = {key: replace(one, finished=day + "y>") for key, one in EVIDENCE.items()}
    tags = Scripts(page.html(replace(SUBJECT, evidence=ended), "0")).tags
    assert [a["data-until"] for _, a in tags if a.get("id") == "copy-citation"] == [day]


@pytest.mark.parametrize("library", ["a('</SCRIPT>')", "<!-- a"])
def test_a_library_that_would_end_its_element_is_refused(library):
    with pytest.raises(ValueError, match="charting library"):
        page.html(SUBJECT, library)


def test_the_library_is_plotlys_but_for_two_parentheses():
    text = (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    assert len(_library().rstrip()) == len(text.rstrip()) + 2  # if not, plotly.js is wrapped otherwise: see _eager
    assert _eager("var Plotly = 1;") == "var Plotly = 1;"


def test_a_curve_is_thinned_and_keeps_its_ends():
    one = next(iter(EVIDENCE))
    curve = tuple((epoch, 1 / epoch) for epoch in range(1, 301))
    shown = content(PageContent("", ROWS, {one: Evidence(curve=curve)}))["lines"][0]["behind"]["curve"]
    assert (shown["epoch"][0], shown["epoch"][-1]) == (1, 300)
    assert 50 <= len(shown["epoch"]) <= 62
    assert shown["loss"][-1] == pytest.approx(1 / 300, rel=1e-3)
