"""What a page and the JSON say of a row whose parts act under a condition: how far they did, and a mark where not."""

import json
from dataclasses import replace

from page_content import EVIDENCE, ROWS, SUBJECT
from page_tabs import browsing, grid
from tailboard.leaderboard.formats import records
from tailboard.leaderboard.results import mean_notes
from tailboard.leaderboard.tables.report_tables import tables

ONE = ROWS["method"] == "better"
IDLE = "no image was accepted"
NOTED = ROWS.assign(
    notes=[
        json.dumps({"mixer.accepted": seed / 8}) if one else "" for one, seed in zip(ONE, ROWS["seed"], strict=True)
    ],
    reason=ROWS["reason"].where(~ONE, IDLE),
)
MARKED = replace(
    SUBJECT,
    rows=NOTED,
    evidence={key: replace(told, starts="ERM, seed 0 (2.0 s)", start_seconds=2.0) for key, told in EVIDENCE.items()},
)


def test_the_json_holds_the_mean_of_each_note_where_there_are_any():
    cells = json.loads(records.json(NOTED))
    assert {cell["method"] for cell in cells if "notes" in cell} == {"better"}
    assert {cell["notes"]["mixer.accepted"] for cell in cells if "notes" in cell} == {0.25}
    assert "notes" not in records.json(ROWS)


def test_a_note_is_averaged_over_the_trials_that_have_it():
    assert mean_notes(['{"a": 1.0, "b": 0.5}', "", '{"a": 0.0}']) == {"a": 0.5, "b": 0.5}


class TestInABrowser:
    pytestmark = browsing

    def test_a_row_that_did_not_act_is_marked_and_its_panel_says_how_far(self, elsewhere):
        tab = elsewhere(MARKED)
        (first, *_) = tables(NOTED, None, None, [])
        shown = {row[0]: row for row in grid(tab)}
        assert shown["better"] == next(list(row) for row in first.body if row[0] == "better")
        assert f"¹ 5 of 5: {IDLE}" in tab.eval_on_selector_all("#notes li", "all => all.map(one => one.textContent)")
        tab.locator("#body tr", has_text="better").locator("td:not(.tier)").first.click()
        panel = tab.locator("#behind-body").inner_text()
        assert "How far each part acted, mean over seeds" in panel and "mixer.accepted\n0.250" in panel
        assert f"5 of 5: {IDLE}" in panel
        assert "Device seconds, with what it starts from" in panel and "\t12.0\t" in panel
