"""A spec from one line of the command: defaults that fit, resolved once and kept in the store."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tailboard import UserError
from tailboard.harness.cli.app import app
from tailboard.harness.planning import image_run, table_run
from tailboard.harness.planning.image_run import ImageRequest, resolve
from tailboard.harness.planning.plan import Plan
from tailboard.harness.storage.store import Store


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, count in (("cat", 40), ("dog", 10)):
        (tmp_path / "my photos" / name).mkdir(parents=True)
        for index in range(count):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(
                tmp_path / "my photos" / name / f"{index:02d}.png"
            )
    return "folder:my photos"


def test_the_defaults_are_kept_so_that_the_same_command_resumes(photos, monkeypatch):
    said = []
    monkeypatch.setattr(image_run.torch.cuda, "is_available", lambda: False)
    spec, store = resolve(ImageRequest(photos), None, said.append)
    assert (spec.networks, len(spec.methods), len(spec.seeds)) == (("small",), 10, 5)
    assert str(store).endswith("runs/my-photos")
    assert (spec.trainings[0].epochs, spec.trainings[0].batch_size, spec.data[0].profile) == (100, 16, "natural")
    store.write_plan(spec.model_copy(update={"seeds": (7,)}))
    assert resolve(ImageRequest(photos), None, said.append)[0].seeds == (7,)
    assert len(said) == 1 and said[0].startswith("folder:my photos: 40 + 10 images of 2 classes; 10 methods x 5 seeds")
    assert resolve(ImageRequest(photos, seeds=2), None, said.append)[0].name != spec.name


def test_the_epochs_fit_the_time(photos, monkeypatch):
    spec, _ = resolve(ImageRequest(photos, methods="ERM, M2m", seeds=2), None, lambda _: None)
    epochs = spec.trainings[0].epochs

    def estimate(spec, needed):
        kinds = {image_run.kind(trial): trial for trial in needed.trials}
        return [SimpleNamespace(trial=trial, whole=2.0 * epochs) for trial in kinds.values()]

    monkeypatch.setattr(image_run, "calibrate", estimate)
    monkeypatch.setattr(image_run.os, "cpu_count", lambda: 2)
    trials = len(
        Plan(spec).dependencies.trials
    )  # two seconds an epoch each, two at once, and a fifth of the time for what is not a step
    assert image_run._epochs_within(spec, 1) == int(60 * 0.8 * 2 / (trials * 2))
    with pytest.raises(
        UserError, match=rf"one epoch of all {trials} trials takes about \d\.\d+ minutes here, more than 0\.01"
    ):
        image_run._epochs_within(spec, 0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "name a spec, or --data"),
        (["run", "quickstart", "--data", "folder:x"], "name a spec, or --data"),
        (["run", "quickstart", "--data", "folder:x"], "not both; leave quickstart or --data folder:x out"),
        (["run", "--data", "folder:my photos", "--plugin", "gone.py"], "the plugin gone.py cannot be read"),
        (["run", "quickstart", "--minutes", "3"], "--minutes: only with --data"),
        (["run", "--data", "cifar10"], "--data: 'cifar10' is no place of images"),
        (["run", "--data", "folder:none"], "no such folder"),
        (["data", "inspect", "photos"], "photos is no place of images"),
    ],
)
def test_wrong_words_are_refused(photos, arguments, message):
    outcome = CliRunner().invoke(app, arguments)
    assert message in str(outcome.exception)


PLUGIN = """
from tailboard.methods.recipe import Recipe, register

register("Mine", Recipe())
"""


def test_methods_of_a_plugin_are_compared_on_data_of_the_users_own(photos, tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    (tmp_path / "t.csv").write_text("age,kind\n" + "".join(f"{i},{'no' if i % 9 else 'yes'}\n" for i in range(90)))
    cases = (resolve, ImageRequest(photos, methods="ERM")), (table_run.resolve, ImageRequest("csv:t.csv", label="kind"))
    for resolved, without in cases:
        request = replace(without, plugins=[tmp_path / "mine.py"])
        (plain, _), (spec, store) = (resolved(each, None, lambda _: None) for each in (without, request))
        own = spec.methods[-1]
        assert [*spec.methods[:-1]] == [*plain.methods] and (own.name, list(spec.plugins)) == ("Mine", [own.plugin])
        assert spec.name != plain.name
        store.write_plan(spec)
        assert resolved(request, None, lambda _: None)[0] == spec
    (tmp_path / "mine.py").write_text(f"{PLUGIN}\n# changed")
    assert resolved(request, None, lambda _: None)[0].name != spec.name


def test_inspect_tells_what_is_there(photos, tmp_path):
    facts = json.loads(CliRunner().invoke(app, ["data", "inspect", photos, "--json"]).stdout)
    assert [list(each.values()) for each in facts["classes"]] == [["cat", 32, 8, "med"], ["dog", 8, 2, "few"]]
    assert (facts["factor"], facts["balanced_test"], facts["ready"]) == (4, False, True)
    top = tmp_path / "my photos"
    (top / "dog/99.png").write_bytes((top / "cat/00.png").read_bytes())
    (top / "dog/bad.png").write_bytes(b"no image")
    outcome = CliRunner().invoke(app, ["data", "inspect", photos])
    assert outcome.exit_code in (0, 1)
    assert "conflicts: cat/00.png, dog/99.png" in outcome.stdout
    assert "1 files cannot be used:\ndog/bad.png cannot be used: it is no image" in outcome.stdout
    assert "not ready: dog/bad.png" in outcome.stdout


def test_a_store_without_that_plan_is_not_read(photos, tmp_path):
    store = Store(tmp_path / "s")
    assert not store.exists()
    assert str(resolve(ImageRequest(photos, methods="ERM"), str(store), lambda _: None)[1]) == str(store)
