"""Decision regions: the plane through three images, what a network decides on it, and the figure of two trainings."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from small_spec import SMALL
from study_stores import facts, printed
from tailboard.harness.errors import ReportError
from tailboard.harness.reporting.figures.request import FigureRequest
from tailboard.harness.reporting.figures.study import check_axes, study_figure
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.store import Store
from tailboard.harness.training.job import Job
from tailboard.harness.training.learners import decision_regions
from tailboard.harness.training.learners.decision_regions import MARGIN, Plane, _decided, drawn_triples
from tailboard.harness.training.loop import DeviceData
from tailboard.harness.training.stop_decision import StopDecision
from tailboard.harness.training.trial import Drained, TrialContext, run_trial

RAW = SMALL | {"methods": ["ERM", "Focal Loss"], "figure": {"kind": "regions"}, "training": {"epochs": 2}}


def test_a_plane_holds_its_three_images_in_coordinates_that_keep_distances():
    images = torch.rand(3, 1, 4, 5, generator=torch.Generator().manual_seed(0))
    plane = Plane.through(images)
    flat = images.flatten(1).double()
    assert torch.allclose(plane.origin + plane.coordinates @ plane.directions, flat)
    assert torch.allclose(torch.cdist(plane.coordinates, plane.coordinates), torch.cdist(flat, flat))
    assert torch.allclose(plane.directions @ plane.directions.T, torch.eye(2, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(plane.coordinates[:2], torch.tensor([[0.0, 0.0], [(flat[1] - flat[0]).norm(), 0.0]]).double())


def test_the_grid_reaches_a_margin_beyond_the_images():
    images = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]).view(3, 1, 1, 2)
    plane = Plane.through(images)
    points = plane.points(3, slice(0, 9)).flatten(1)
    assert torch.allclose(points[0], torch.tensor([-MARGIN, -2 * MARGIN]).double())
    assert torch.allclose(points[-1], torch.tensor([1 + MARGIN, 2 * (1 + MARGIN)]).double())
    assert torch.allclose(points[1], torch.tensor([0.5, -2 * MARGIN]).double()), "x runs first, from below"
    assert torch.allclose(plane.corners()[0], torch.full((2,), MARGIN / (1 + 2 * MARGIN)).double())


def test_what_a_linear_network_decides_is_a_half_plane():
    """Class 1 where the first pixel is above a half: of the grid from -0.1 to 1.1 its right half."""
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2))
    network[1].weight.data, network[1].bias.data = torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([0.5, 0.0])
    material = DeviceData(torch.empty(0), torch.empty(0), torch.zeros(1), torch.ones(1))
    run = SimpleNamespace(
        model=network,
        material=material,
        finish=lambda logits: logits,
        training=SimpleNamespace(ema=0.0, precision="float32"),
        scene=SimpleNamespace(device=torch.device("cpu")),
    )
    plane = Plane.through(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]).view(3, 1, 1, 2))
    decided = _decided(run, plane, 40)
    assert (decided == (np.arange(40) >= 20)).all()


def test_images_are_drawn_by_the_seed_from_three_classes():
    labels = np.array([0] * 30 + [1] * 3 + [2] * 2 + [3])
    triples = drawn_triples(labels, 300, 7)
    assert (drawn_triples(labels, 300, 7) == triples).all() and (drawn_triples(labels, 300, 8) != triples).any()
    assert all(len(set(labels[three])) == 3 for three in triples)
    assert np.bincount(labels[triples].ravel()) == pytest.approx(225, abs=45), "classes evenly, not images"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One seed of two methods, with few planes of few points."""
    return trained(Store(tmp_path_factory.mktemp("regions")))


def trained(store, stopped=False):
    spec = parse(RAW)
    store.write_plan(spec)
    context = TrialContext(store=str(store), regions=True)
    with pytest.MonkeyPatch.context() as patch:
        for name, size in (("PLANES", 6), ("GRID", 6), ("PICTURE", 16)):
            patch.setattr(decision_regions, name, size)
        for trial in plan(spec):
            if stopped:
                with pytest.raises(Drained):
                    run_trial(Job.of(trial), context, should_stop=lambda: StopDecision.DRAIN)
            run_trial(Job.of(trial), context)
    return store


def test_a_trial_records_the_regions_of_its_network(store):
    first, second = (store.arrays(trial.key, "regions_") for trial in plan(parse(RAW)))
    assert first["regions_shares"].shape == (6, 10) and first["regions_picture"].shape == (16, 16)
    assert first["regions_shares"].sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (first["regions_corners"] == second["regions_corners"]).all(), "the planes of a seed are every method's"
    assert len(set(first["regions_classes"].tolist())) == 3


def test_the_figure_of_two_trainings(store, tmp_path):
    told = facts(store)
    entropies = {row["curve"]: row["mean"] for row in told["curves"] if row["quantity"] == "entropy"}
    for trial in plan(parse(RAW)):
        shares = store.arrays(trial.key, "regions_shares")["regions_shares"].astype(float)
        by_hand = np.mean([-sum(p * np.log2(p) for p in plane if p) for plane in shares])
        assert entropies[trial.method.name] == pytest.approx(by_hand)
    (claim,) = told["claims"]
    assert claim["claim"] == "the entropy of Focal Loss's shares is above that of ERM"
    assert (claim["verdict"], claim["reason"]) == ("", "1 seeds are fewer than 5")
    drawn = study_figure(store, FigureRequest.of(store.plans()[0]))
    assert [picture.curve for picture in drawn.data.pictures] == ["ERM", "Focal Loss"]
    for name in ("a.svg", "b.svg"):
        drawn.write(tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert len((tmp_path / "a.svg").read_bytes()) < 100_000


@pytest.mark.slow
def test_a_study_that_was_stopped_and_resumed_draws_the_same_bytes(store, tmp_path):
    again = trained(Store(tmp_path / "again"), stopped=True)
    assert [again.record(trial.key).attempts for trial in plan(parse(RAW))] == [2, 2]
    first, second = (study_figure(each, FigureRequest.of(parse(RAW))) for each in (store, again))
    for form in (".svg", ".csv", ".json"):
        assert first.content(form) == second.content(form)


def test_what_has_no_regions_is_said(store, tmp_path):
    trial = plan(parse(RAW))[0]
    bare = Store(tmp_path / "bare")
    bare.write_plan(parse(RAW))
    for each in plan(parse(RAW)):
        bare.write_record(store.record(each.key))
        arrays = store.arrays(each.key)
        bare.write_arrays(each.key, {n: a for n, a in arrays.items() if not n.startswith("regions_")})
    with pytest.raises(ReportError, match=rf"trial {trial.key} of .* holds no decision regions"):
        raise printed(bare).exception
    with pytest.raises(ReportError, match=r"--kind regions: xgboost is no network on images"):
        check_axes(parse(json.loads(json.dumps(RAW)) | {"network": "xgboost", "data": "adult", "training": {}}))
    with pytest.raises(ReportError, match=r"--baseline: no curve 'SAM' here"):
        check_axes(parse(RAW | {"figure": {"kind": "regions", "baseline": "SAM"}}))
