"""The figures of studies on the page and on a site's page, in a real headless Chromium: the charts show the points of
the figure, and save them."""

import csv
import io
import xml.etree.ElementTree as ET

import pytest

from page_tabs import Tabs, browsing, drawn, serious
from study_stores import facts, store_of

pytestmark = browsing
GAIN = {"kind": "improvement", "claim": "Focal Loss helps where classes are few."}
TRACES = "name => document.getElementById(name).data"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return store_of(tmp_path_factory.mktemp("study"), figure=GAIN | {"group": ["minority", "majority"]})


@pytest.fixture
def site(study, tailboard, tmp_path):
    assert tailboard("report", study, "--site", tmp_path / "site", "-o", tmp_path / "t.md")[0] == 0
    return tmp_path / "site"


@pytest.fixture
def opened(browser):
    tabs = Tabs(browser)
    yield tabs.open
    assert tabs.troubles == []


def test_a_sites_page_draws_the_figure_and_saves_its_points(study, site, opened):
    front = opened(site / "index.html")
    assert "supported" in front.locator("dt:has-text('Figures and claims') + dd").inner_text()
    (page,) = (path for path in site.rglob("*.html") if "study-0-0" in path.read_text(encoding="utf-8"))
    tab, rows = opened(page), facts(study)["curves"]
    assert tab.locator("section.figure figure").count() == 2
    for place, group in enumerate(("minority", "majority")):
        name = f"study-0-{place}"
        drawn(tab, name)
        gain, zero = tab.evaluate(TRACES, f"chart-{name}")
        ours = [row for row in rows if f"{group} classes" in row["panel"]]
        assert gain["x"] == [row["x"] for row in ours]
        assert gain["y"] == pytest.approx([row["mean"] for row in ours])
        assert gain["error_y"]["array"] == pytest.approx([row["stderr"] for row in ours])
        assert (
            gain["hovertext"][0].replace("<br>", " ").startswith(f"Focal Loss, 0.05: {ours[0]['mean']:.5g}".rstrip("0"))
        )
        assert zero["y"] == [0, 0]
    figure = tab.locator("figure:has(#chart-study-0-0)")
    with tab.expect_download() as caught:
        figure.get_by_text("CSV").click()
    saved = list(csv.DictReader(io.StringIO(caught.value.path().read_text(encoding="utf-8"))))
    ours = [row for row in rows if "minority classes" in row["panel"]]
    assert [float(row["gain over ERM (%)"]) for row in saved] == pytest.approx([row["mean"] for row in ours])
    with tab.expect_download() as caught:
        figure.get_by_text("SVG").click()
    text = " ".join(ET.fromstring(caught.value.path().read_text(encoding="utf-8")).itertext())  # noqa: S314 (our own)
    assert "minority classes: gain over ERM (%) over train ratio" in text
    printed = tab.locator("section.figure details:has(img)")
    assert not printed.locator("img").is_visible()
    printed.locator("summary").click()
    assert printed.locator("img").evaluate("image => image.naturalWidth") > 0
    tab.locator("section.figure summary:has-text('The points behind it')").click()
    assert serious(tab) == []


def test_the_page_of_one_figure_has_logarithmic_axes_a_diagonal_and_bands(tailboard, opened, tmp_path):
    page = tmp_path / "figure.html"
    assert tailboard("figure", store_of(tmp_path, methods="ERM"), "--kind", "ratio_matrix", "-o", page)[0] == 0
    tab = opened(page)
    assert tab.locator("section.figure figure").count() == 3
    drawn(tab, "study-0-1")
    best, diagonal = tab.evaluate(TRACES, "chart-study-0-1")
    assert best["x"] == [0.05, 0.2, 1]
    assert len(best["error_y"]["arrayminus"]) == 3
    assert diagonal["x"] == diagonal["y"] == [0.05, 1]
    axes = tab.evaluate("['xaxis', 'yaxis'].map(name => document.getElementById('chart-study-0-1').layout[name].type)")
    assert axes == ["log", "log"]
