"""A spec's block ``figure``: it is in the plan and in no key, draws without a word more, and names its own claims."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from study_stores import SPEC, facts, printed, recalls_of, store_of
from tailboard.harness.cli.run import _draw
from tailboard.harness.errors import ReportError, SpecError
from tailboard.harness.reporting.figures.request import FigureRequest
from tailboard.harness.reporting.figures.study import check_axes, study_figure
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import Spec, plan
from tailboard.leaderboard.figures.figure import POINTS, Axis
from tailboard.leaderboard.html.figures import sections
from tailboard.leaderboard.html.model import PageFigure, StudyChart
from tailboard.leaderboard.tables.grid import Table

GAIN = {"kind": "improvement", "baseline": "ERM", "claim": "Focal Loss helps where classes are few."}
BATCHES = {"methods": "ERM", "training": {"epochs": 4, "batch_size": [16, 32, 128]}}


def test_a_block_is_part_of_the_plan_and_of_no_key():
    plain, drawn = parse(SPEC), parse(SPEC | {"figure": GAIN})
    assert [trial.key for trial in plan(plain)] == [trial.key for trial in plan(drawn)]
    assert Spec.model_validate_json(drawn.model_dump_json()) == drawn
    assert "figure" not in plain.model_dump_json()


def test_a_store_and_a_spec_draw_what_the_block_says(tmp_path, monkeypatch):
    store = store_of(tmp_path, figure=GAIN)
    told, asked = facts(store), facts(store, "--kind", "improvement", "--baseline", "ERM")
    assert (told["study"], told["claim"]) == ("f", GAIN["claim"])
    assert told["curves"] == asked["curves"]
    assert {claim["figure"] for claim in told["claims"]} == {"f"}
    changed = facts(store, "--group", "minority")  # the rest is as the block says
    assert changed["claims"][0]["panel"].endswith("minority classes")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "store").rename(tmp_path / "runs" / "f")
    (tmp_path / "study.yaml").write_text(json.dumps(SPEC | {"figure": GAIN}))
    assert facts("study.yaml")["curves"] == told["curves"]


def test_of_several_plans_one_is_named(tmp_path):
    store_of(tmp_path, figure=GAIN)
    store = store_of(tmp_path, name="g", figure={"kind": "sweep", "x": "train_ratio"}, methods="ERM")
    with pytest.raises(ReportError, match=r"--study: several plans .* name one of f, g"):
        raise printed(store).exception
    assert facts(store, "--study", "g")["figure"] == "sweep"
    assert {row["curve"] for row in facts(store, "--study", "g")["curves"]} == {"ERM"}  # of that plan's trials only
    with pytest.raises(ReportError, match=r"--study: no plan 'h' of .* has a block figure"):
        raise printed(store, "--study", "h").exception
    with pytest.raises(ReportError, match=r"--kind: no plan of .* has a block figure; name one of improvement"):
        raise printed(store_of(tmp_path / "plain")).exception


def test_named_claims_by_hand(tmp_path):
    claims = [
        {"better": [16, 32], "than": 128, "at": "smallest"},
        {"better": 16, "than": 128, "at": 0.2, "more_than_at": "largest", "say": "it gains more"},
        {"better": "16", "than": "32", "margin": 5, "at": 1},
    ]
    block = {"kind": "improvement", "baseline": 128, "claims": claims}
    found = facts(store_of(tmp_path, **BATCHES, figure=block))["claims"]
    assert [claim["claim"] for claim in found] == [
        "the best of batch_size 16, batch_size 32 is better than batch_size 128 at train ratio 0.05",
        "it gains more",
        "batch_size 16 and batch_size 32 are within 5 of each other at train ratio 1",
    ]
    mean = {
        (1 / t.data.imbalance_factor, t.training.batch_size, t.seed): recalls_of(t).mean()
        for t in plan(parse(SPEC | BATCHES))
    }

    def gain(batch, ratio):
        return np.array([100 * (mean[ratio, batch, s] / mean[ratio, 128, s] - 1) for s in range(5)])

    options, half = np.stack([gain(16, 0.05), gain(32, 0.05)]), np.arange(5) % 2
    by_hand = [options[options[:, half != half[s]].mean(axis=1).argmax(), s] for s in range(5)]
    assert found[0]["effect"] == pytest.approx(np.mean(by_hand))
    assert found[1]["effect"] == pytest.approx(np.mean(gain(16, 0.2) - gain(16, 1.0)))
    assert (found[2]["margin"], found[2]["effect"]) == (5, pytest.approx(np.mean(gain(16, 1.0) - gain(32, 1.0))))


def test_a_claim_between_two_x_of_a_sweep_and_of_one_group(tmp_path):
    block = {
        "kind": "sweep",
        "x": "train_ratio",
        "group": ["minority", "majority"],
        "claims": [
            {"group": "minority", "at": "largest", "than_at": "smallest"},
            {"group": "majority", "at": "smallest", "than_at": "largest"},
        ],
    }
    found = facts(store_of(tmp_path, methods="ERM", figure=block))["claims"]
    assert [claim["claim"] for claim in found] == [
        "ERM at train ratio 1 is better than at train ratio 0.05",
        "ERM at train ratio 0.05 is better than at train ratio 1",
    ]
    assert [claim["panel"].split(", ")[-1] for claim in found] == ["minority classes", "majority classes"]
    assert found[0]["verdict"] == "supported"


def test_a_claim_of_one_panel(tmp_path):
    claims = [
        {"better": "Focal Loss", "than": "ERM", "panel": "resnet20"},
        {"better": "Focal Loss", "than": "ERM", "margin": 1, "panel": "small"},
    ]
    words = {"network": ["small", "resnet20"], "data": SPEC["data"]}
    store = store_of(tmp_path, figure={"kind": "improvement", "claims": claims}, **words)
    found = facts(store)["claims"]
    assert [(claim["panel"].split(", ")[-1], claim["margin"]) for claim in found] == [("small", 1), ("resnet20", None)]
    wrong = {"kind": "improvement", "claims": [claims[0] | {"panel": "resnet32"}]}
    with pytest.raises(ReportError, match=r"claims: no panel is of 'resnet32'; .*small; .*resnet20"):
        check_axes(parse(SPEC | words | {"figure": wrong}))


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"kind": "improvment"}, r"figure.kind: 'improvment' is not one of .* did you mean 'improvement'"),
        ({"kind": "sweep", "group": "minorty"}, r"figure.group: .* did you mean 'minority'"),
        ({"kind": "sweep", "basline": "ERM"}, r"figure: unknown key 'basline'; did you mean 'baseline'"),
        ({"kind": "sweep", "claims": [{"beter": "a", "than": "b"}]}, r"figure.claims.0: unknown key 'beter'.*'better'"),
        ({"kind": "sweep", "claims": {"better": "a"}}, r"say what it is compared with: than: CURVE, or than_at"),
        ({"kind": "sweep", "claims": {"better": "a", "than": "b", "at": "top"}}, r"claims.0.at: 'top' is not one of"),
        ({"kind": "fit", "claims": {"better": "a", "than": "b"}}, r"claims: fit has claims of its own"),
        ({"kind": "sweep", "margin": 0}, r"figure.margin: should be greater than 0"),
        ({}, r"figure.kind: Field required"),
    ],
)
def test_a_wrong_word_in_a_block(block, said):
    with pytest.raises(SpecError, match=said):
        parse(SPEC | {"figure": block})


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"kind": "sweep", "x": "batchsize"}, r"--x: no field 'batchsize' here.*training.batch_size"),
        ({"kind": "improvement", "baseline": "Focal"}, r"--baseline: no curve 'Focal' here.*Focal Loss"),
        ({"kind": "scaling"}, r"parameters is .* in every trial"),
        ({"kind": "misalignment"}, r"the spec needs several totals"),
        ({"kind": "sweep", "x": "train_ratio", "metric": "macrof1"}, r"--metric: there is no 'macrof1'.*macro_f1"),
        (
            {"kind": "improvement", "claims": {"better": "Focal", "than": "ERM"}},
            r"claims.better: no curve 'Focal' here",
        ),
        (
            {"kind": "improvement", "claims": {"better": "Focal Loss", "than": "ERM", "at": 0.3}},
            r"claims: no trial is at 0.3; 0.05, 0.2, 1",
        ),
        (
            {"kind": "improvement", "claims": {"better": "Focal Loss", "than": "ERM", "group": "minority"}},
            r"claims: of minority classes; the figure is of all",
        ),
    ],
)
def test_what_the_trials_lack_is_said_before_anything_is_trained(block, said):
    with pytest.raises(ReportError, match=said):
        check_axes(parse(SPEC | {"figure": block}))


@pytest.mark.parametrize("kind", ["improvement", "ratio_matrix"])
def test_axes_that_are_there_are_passed(kind):
    check_axes(parse(SPEC | {"figure": {"kind": kind}}))
    check_axes(parse(SPEC))


def test_plan_says_it_too(tailboard, tmp_path):
    (tmp_path / "bad.yaml").write_text(json.dumps(SPEC | {"figure": {"kind": "sweep", "x": "batchsize"}}))
    code, _, err = tailboard("plan", str(tmp_path / "bad.yaml"))
    assert code == 1
    assert re.search(r"no field 'batchsize'", err)


def test_a_run_ends_with_the_figures_path(tmp_path, capsys):
    store = store_of(tmp_path, figure=GAIN)
    _draw(store.plans()[0], store)
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == f"figure {store}/report/figure.svg"
    assert "The paper: Focal Loss helps where classes are few." in out
    assert (tmp_path / "store" / "report" / "figure.svg").read_bytes().startswith(b"<?xml")
    told = json.loads((tmp_path / "store" / "report" / "figure.json").read_text())
    assert told == study_figure(store, FigureRequest.of(store.plans()[0])).facts()
    _draw(store_of(tmp_path / "b", left_out=range(30), figure=GAIN).plans()[0], store_of(tmp_path / "c", [*range(30)]))
    assert "the figure could not be drawn" in capsys.readouterr().err
    without_arrays = store_of(tmp_path / "d", figure={"kind": "regions"})
    _draw(without_arrays.plans()[0], without_arrays)
    assert re.search(r"the figure could not be drawn \(\S+/arrays/\w{20}\.npz is missing\)", capsys.readouterr().err)


def test_a_folder_of_studies_gives_one_table_of_all_claims(tmp_path, tailboard):
    first = store_of(tmp_path / "a", figure=GAIN)
    second = store_of(tmp_path / "b", name="g", methods="ERM", figure={"kind": "sweep", "x": "train_ratio"})
    nothing = store_of(tmp_path / "c", name="h", left_out=range(30), figure=GAIN)
    plain = store_of(tmp_path / "d", name="i")
    folder = tmp_path / "studies"
    folder.mkdir()
    for store in (first, second, nothing, plain):
        Path(store.root).rename(folder / store.plans()[0].name)
    code, out, _ = tailboard("report", folder, "--format", "json")
    told = json.loads(out)
    assert code == 2  # one is not complete
    alone = [facts(folder / name)["claims"] for name in ("f", "g")]
    assert [(c["figure"], c["claim"], c["effect"]) for c in told["claims"]] == [
        (c["figure"], c["claim"], pytest.approx(c["effect"])) for claims in alone for c in claims
    ]
    assert {c["data"] for c in told["claims"]} == {"fashion-mnist-mini, small"}
    assert re.match(r"h: no trial of .* is complete, so there is nothing to draw", told["notes"][0])
    _, text, _ = tailboard("report", folder)
    assert "| f " in text and "supported" in text and "h: no trial of" in text
    _, own, _ = tailboard("report", folder / "f")
    leaderboard, claims = own.split("\n\n### Claims\n\n")
    assert "| ERM " in leaderboard and claims.count("\n| f ") == len(alone[0]) and "supported" in claims
    _, none, _ = tailboard("report", folder / "i")
    assert "Claims" not in none
    _, csv, _ = tailboard("report", folder, "--format", "csv")
    assert csv.splitlines()[0] == "figure,claim,verdict,effect,unit,low,high,n,data,reason"
    page = tmp_path / "page.html"
    for words in (
        ("--versus", "Nope"),
        ("--html", page),
        ("--published",),
        ("--budget", 4),
        ("--few", 3),
        ("--site", page),
    ):
        code, out, err = tailboard("report", folder, *words)
        assert (code, out, err.count("\n")) == (1, "", 1) and f"error: {words[0]}: not of a folder of studies" in err
    assert not page.exists()
    code, _, err = tailboard("report", folder, "--format", "latex")
    assert code == 1 and "the claims of a folder of studies are in md, csv, json, not latex" in err


def test_a_study_whose_arrays_are_damaged_takes_no_leaderboard_away(tmp_path, tailboard):
    store = store_of(tmp_path, figure=GAIN | {"converged": 90})
    store.write(f"arrays/{plan(store.plans()[0])[0].key}.npz", b"no arrays")
    code, out, _ = tailboard("report", store)
    leaderboard, claims = out.split("\n\n### Claims\n\n")
    assert code == 0 and "| ERM " in leaderboard and "No claim." in claims and ".npz is damaged" in claims
    code, _, _ = tailboard("report", store, "--html", tmp_path / "page.html", "-o", tmp_path / "h.md")
    assert code == 0 and "ERM" in (tmp_path / "page.html").read_text()
    store_of(tmp_path, figure=GAIN | {"metric": "of a later version"})
    code, _, _ = tailboard("report", store, "-o", tmp_path / "t.md")
    claims = (tmp_path / "t.md").read_text().split("### Claims")[1]
    assert code == 0 and "f: --metric: there is no 'of a later version'" in claims and claims.endswith("\n")


@pytest.mark.slow
def test_the_page_and_the_site_show_the_figure_with_its_data(tmp_path, tailboard):
    store, page = store_of(tmp_path, figure=GAIN), tmp_path / "page.html"
    code, _, _ = tailboard("report", store, "--html", page, "--site", tmp_path / "site", "-o", tmp_path / "t.md")
    assert code == 0
    text = page.read_text()
    (picture,) = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)"', text)
    drawn = study_figure(store, FigureRequest.of(store.plans()[0]))
    assert base64.b64decode(picture) == drawn.content(".svg")
    (points,) = re.findall(r'href="data:text/csv;base64,([^"]+)"', text)
    assert base64.b64decode(points) == drawn.content(".csv")
    assert "The paper: Focal Loss helps where classes are few." in text
    assert "<td>Focal Loss is better than ERM at train ratio 0.05</td><td>supported</td>" in text
    front = (tmp_path / "site" / "index.html").read_text()
    assert re.search(r"<dt>Figures and claims</dt><dd>f \(\d supported", front)
    assert tailboard("figure", store, "--group", "minority", "-o", tmp_path / "figure.html")[0] == 0
    assert "minority classes" in (tmp_path / "figure.html").read_text()
    tailboard("report", store_of(tmp_path / "plain"), "--html", page)
    assert '<section class="figure">' not in page.read_text()


def test_a_name_on_the_page_is_only_ever_text():
    chart = StudyChart('"><script>', Axis('"><b>', "<i>"), pd.DataFrame([], columns=list(POINTS)))
    nasty = Table("t", (), (("<b>", '"><script>', "supported"),), (), (), ("a", "b", "c"))
    shown = sections([PageFigure('"><script>x', "<i>", nasty, nasty, ["<u>"], b"<svg/>", b"a", [chart])])
    assert not re.search(r"<script|<b>|<i>|<u>|<svg", shown)


def tracked(store, last):
    """Each trial's accuracy on its training images, every second of four epochs; the first ends at ``last``."""
    for number, trial in enumerate(plan(store.plans()[0])):
        ratio = 1 / trial.data.imbalance_factor
        column = np.array([np.nan, 70 + 20 * ratio, np.nan, 100.0 if number else last])
        store.write_arrays(trial.key, {"history_train_accuracy": column, "history_train_accuracy_minority": column - 1})


@pytest.mark.parametrize(("last", "verdict"), [(99.0, "supported"), (80.0, ""), (95.5, "")])
def test_what_has_not_converged_gets_no_word(tmp_path, last, verdict):
    store = store_of(tmp_path, figure=GAIN | {"converged": 95})
    assert facts(store)["notes"][-1].startswith("30 of 30 trials do not say")
    tracked(store, last)
    told = facts(store)
    assert {claim["verdict"] for claim in told["claims"][:1]} == {verdict}
    if last == 80:
        said = (
            "accuracy on the training images reached 80.0 to 100.0 percent, on those of the minority classes 79.0 to "
            "99.0 percent, and 95 are asked for"
        )
        assert told["claims"][0]["reason"] == f"not converged: {said}"
        assert told["notes"][-1] == f"Not converged: {said}."


def test_the_fit_of_a_store_over_epochs_and_at_the_end(tmp_path):
    store = store_of(tmp_path, methods="ERM", figure={"kind": "fit", "group": ["all", "minority"]})
    with pytest.raises(ReportError, match=r"no trial of .* says how well its training images were fitted"):
        raise printed(store).exception
    tracked(store, 100.0)
    told = facts(store)
    rows = {(row["panel"].split(", ")[-1], row["curve"], row["x"]): row["mean"] for row in told["curves"]}
    assert rows["all classes", "train_ratio 0.05", 2] == pytest.approx(71)
    assert rows["minority classes", "train_ratio 1", 4] == pytest.approx(99)
    assert len(rows) == 2 * 3 * 2
    assert "train_ratio 0.05 is fitted later than train_ratio 1" in {claim["claim"] for claim in told["claims"]}
    at_end = facts(store, "--x", "train_ratio", "--group", "all", "--curve", "method")
    assert [row["x"] for row in at_end["curves"]] == [0.05, 0.2, 1.0]
