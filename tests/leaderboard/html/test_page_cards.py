"""The cards of the page, and what they are made of."""

import pytest

from page_content import COUNTS, NASTY, SUBJECT, WORSE
from page_tabs import browsing, grid
from tailboard.harness.reporting.pages.cards import _year, data_cards, method_cards
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.leaderboard.formats import text as text_module
from tailboard.leaderboard.html.data import content
from tailboard.methods.registry import registry


def trials(*methods):
    spec = parse(
        {"name": "a", "data": [{"name": "cifar10"}], "methods": list(methods), "network": "small", "seeds": [0]}
    )
    return {trial.method.name: trial for trial in plan(spec)}


def test_every_method_of_ours_has_a_card_with_paper_and_year():
    cards = method_cards(trials(*registry()))
    for name, entry in registry().items():
        assert cards[name].description == entry.description
        assert entry.source in cards[name].source
        assert cards[name].cost == entry.cost
        assert 1999 < cards[name].year < 2027, name
    assert cards["LDAM-DRW"].parts == {"head": "CosineHead", "loss": "LDAM", "weights": "DeferredReweighting"}
    assert (cards["SAM-A"].year, cards["SAM-A"].source.endswith("(arXiv 2312.02517)")) == (2023, True)


def test_a_sum_has_what_its_terms_have_and_a_plugin_is_not_run():
    found = trials("SAM-A + Logit adjustment", "ERM")
    plugin = found["ERM"].model_copy(update={"method": found["ERM"].method.model_copy(update={"plugin": "0" * 64})})
    cards = method_cards({**found, "mine": plugin})
    card = cards["SAM-A + Logit adjustment"]
    assert "whose climb" in card.description
    assert "after training" in card.description
    assert card.parts.keys() == {"step", "finish"}
    assert card.cost is None
    assert cards["mine"].description.startswith("A plugin's method")
    assert cards["mine"].source == ""


@pytest.mark.parametrize(
    ("source", "year"),
    [("Cui et al. 2019, arXiv 1901.05555", 2019), ("arXiv 2312.02517, appendix", 2023), ("mine", None)],
)
def test_the_year_is_that_of_the_paper(source, year):
    assert _year(source) == year


def test_data_cards_are_those_of_the_catalog():
    cards = data_cards(["cifar10", "folder:mine"])
    assert cards.keys() == {"cifar10"}
    assert "Krizhevsky 2009" in cards["cifar10"].description
    assert cards["cifar10"].terms


def test_names_in_cards_are_made_plain():
    assert content(SUBJECT)["cards"]["methods"][NASTY]["description"] == text_module.plain(WORSE)


class TestInABrowser:
    pytestmark = browsing

    def test_a_method_opens_its_card_by_mouse_and_by_keyboard(self, opened):
        tab = opened()
        tab.locator("#body .name").first.click()
        text = tab.inner_text("#behind")
        measured = "12.0 device seconds a training, 1 times ERM's on the same machine"
        for wanted in ("ERM", "The routine alone", "2019", "none: the training routine alone", measured):
            assert wanted in text
        assert tab.get_attribute("#behind a", "href") == "https://arxiv.org/abs/1901.05555"
        tab.keyboard.press("Escape")
        tab.keyboard.press("ArrowDown")
        tab.keyboard.press("Enter")
        assert tab.inner_text("#behind-title") == "near"
        tab.locator("#behind").get_by_text("Colour only it").click()
        assert not tab.is_visible("#behind")
        assert tab.evaluate("[...coloured].map((method) => DATA.methods[method])") == ["near"]

    def test_a_name_in_a_card_is_text(self, opened):
        tab = opened()
        tab.locator("#body tr", has_text="<img").locator(".name").click()
        assert text_module.plain(WORSE)[:20] in tab.inner_text("#behind-body")
        assert tab.locator("#behind img, #behind script, #behind a").count() == 0

    def test_a_data_set_opens_its_card_with_the_tail(self, opened):
        tab = opened()
        tab.locator("#head .name").first.click()
        text = tab.inner_text("#behind")
        assert f"{sum(COUNTS)} training images of 6 classes, from 500 down to 5: imbalance factor 100" in text
        assert "170 test images, 10 to 40 a class" in text
        assert "none formal" in text
        tall = tab.eval_on_selector_all("#behind rect", "found => found.map(one => Number(one.getAttribute('height')))")
        assert tall == pytest.approx([150 * count / 500 for count in COUNTS])
        tab.locator("#behind summary").click()
        assert grid(tab, "#behind tbody tr")[0] == ["a", "500", "40", "Many"]
