"""Images that look alike: found by their perceptual hashes as by comparing all with all, and shown on one page."""

import base64
import json
import re

import numpy as np
import pytest
from PIL import Image, ImageFilter
from typer.testing import CliRunner

from tailboard.datasets.user_images import near_duplicates
from tailboard.harness.cli.app import app
from tailboard.harness.metrics.advice import advice


def test_near_hashes_are_those_that_a_comparison_of_all_finds():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (150, 64), np.uint8)
    near = bits[:60].copy()
    for number, row in enumerate(near):  # 0 to 5 bits changed: near up to three
        row[rng.choice(64, number % 6, replace=False)] ^= 1
    hashes = np.packbits(np.concatenate([bits, near]), axis=1)
    found = {(one, other) for group in near_duplicates.alike(hashes) for one in group for other in group if one < other}
    assert found == {(n, 150 + n) for n in range(60) if n % 6 <= near_duplicates.DISTANCE}


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Blurred noise of two classes, with a folder for testing; one test image is a smaller copy of another."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    top = tmp_path / "photos"
    for number, (part, name, count) in enumerate([("train", "cat", 9), ("train", "<b>dog", 4), ("test", "cat", 3),
                                                  ("test", "<b>dog", 2)]):  # fmt: skip
        (top / part / name).mkdir(parents=True)
        for index in range(count):
            noise = np.random.default_rng([number, index]).integers(0, 256, (6, 6, 3), np.uint8)
            image = Image.fromarray(noise).resize((48, 48), Image.Resampling.BICUBIC)
            image.filter(ImageFilter.GaussianBlur(2)).save(top / part / name / f"{index}.png")
    with Image.open(top / "train/cat/0.png") as image:
        image.resize((40, 40)).save(top / "test/cat/2.png")
    return top


def test_inspect_names_what_looks_alike_and_what_of_it_leaks(photos):
    facts = json.loads(CliRunner().invoke(app, ["data", "inspect", f"folder:{photos}", "--json"]).stdout)
    assert facts["near_duplicates"] == facts["near_leaks"] == [["test/cat/2.png", "train/cat/0.png"]]
    assert (facts["copies"], facts["near_leak_groups"], facts["looked_at"]) == ([], 1, 18)
    assert list(facts["metrics"])[:3] == ["balanced_accuracy", "auroc", "average_precision"]
    assert facts["validation"].endswith("1 of the training images of each class, carved before the long tail is cut")
    text = CliRunner().invoke(app, ["data", "inspect", f"folder:{photos}"]).stdout
    assert "look alike, in training and test images: test/cat/2.png, train/cat/0.png" in text
    assert "--metric auroc: whatever the threshold" in text


def test_of_too_many_images_an_even_share_is_looked_at(photos, monkeypatch):
    monkeypatch.setattr(near_duplicates, "AT_MOST", 6)
    outcome = CliRunner().invoke(app, ["data", "inspect", f"folder:{photos}"])
    assert "groups of images that look alike: 0, of 6 images that were looked at" in outcome.stdout


def test_without_the_library_the_rest_is_said(photos, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "imagehash", None)
    outcome = CliRunner().invoke(app, ["data", "inspect", f"folder:{photos}"])
    assert outcome.exit_code == 0
    assert re.search(r"^cat +9 +3 +few$", outcome.stdout, re.MULTILINE)
    assert 'near duplicates are not looked for: pip install "tailboard[inspect]"' in outcome.stdout
    (photos / "train/cat/bad.jpg").write_bytes((photos / "train/cat/1.png").read_bytes()[:200])
    facts = json.loads(CliRunner().invoke(app, ["data", "inspect", f"folder:{photos}", "--json"]).stdout)
    assert (facts["unreadable_files"], facts["ready"], facts["near_leaks"]) == (1, False, None)


def test_the_page_shows_images_of_each_class_and_runs_nothing(photos, tmp_path):
    (photos / "train/cat/bad.png").write_bytes((photos / "train/cat/1.png").read_bytes()[:200])  # its header is whole
    page = tmp_path / "page.html"
    outcome = CliRunner().invoke(app, ["data", "inspect", f"folder:{photos}", "--html", str(page)])
    assert "not ready: train/cat/bad.png cannot be used: it is damaged or cut short" in outcome.stdout
    text = page.read_text()
    assert "script-src 'none'" in text and "<b>dog" not in text and "&lt;b&gt;dog" in text
    assert "<script" not in text and not re.search(r"https?://", text)
    images = re.findall(r"data:image/jpeg;base64,([^\"]+)", text)
    assert len(images) == 6 + 6  # every other cat but for the damaged one, and all dogs
    assert all(base64.b64decode(each)[:2] == b"\xff\xd8" for each in images)
    assert text.count("<rect") == 2
    refused = CliRunner().invoke(app, ["data", "inspect", f"folder:{photos}", "--html", str(photos)])
    assert "is a folder; the page is a file" in str(refused.exception)


def test_what_is_advised_fits_the_classes():
    def rows(*counts):
        return [{"class": name, "train": trained, "test": tested} for name, trained, tested in counts]

    graded = advice(rows(("0 none", 50, 60), ("1 mild", 30, 60), ("2 bad", 10, 60)), grouped=True)
    assert list(graded["metrics"]) == ["balanced_accuracy", "macro_f1", "worst_class", "quadratic_kappa"]
    assert "1 of the training images of each class, whole groups, carved" in graded["validation"]
    two = advice(rows(("ill", 3, 900), ("well", 900, 12)), grouped=False)["metrics"]
    assert "'ill'" in two["f1"] and "accuracy" in two
    assert two["balanced_accuracy"].endswith("class 'well' has few test images (12): one is 8 points of it")
    assert advice(rows(("a", 1, 9), ("b", 9, 9)), False)["validation"].startswith("no validation: class 'a' has one")
