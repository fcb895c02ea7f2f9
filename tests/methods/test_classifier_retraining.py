"""cRT: after its start the features rest, to the bit, and a head that is drawn once learns alone."""

import pytest
import torch
from torch import nn

from tailboard.harness.training.loop import TrainingLoop
from tailboard.methods.losses import CosineHead
from tailboard.methods.part import MethodError
from tailboard.methods.recipe import Recipe
from tailboard.methods.sampling.balance import DeferredResampling
from tailboard.methods.stages.retrain import Retrain


def crt(start: float = 0.4) -> Recipe:
    return Recipe(sampler=DeferredResampling(start=start), step=Retrain(start=start))


def copy(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], two[name]) for name in one)


def after(run: TrainingLoop, epochs: int) -> TrainingLoop:
    while run.done < epochs:
        next(run.epochs())
    return run


def test_features_and_their_statistics_rest_from_the_start_on_and_the_head_learns(tiny):
    run = after(tiny(crt()), 2)
    features, head = copy(run.model.features), copy(run.model.head)
    for _ in range(3):
        next(run.epochs())
        assert same(features, copy(run.model.features))
        assert not same(head, copy(run.model.head))
        head = copy(run.model.head)


def test_before_the_start_it_is_erm(tiny):
    assert same(copy(after(tiny(Recipe()), 2).model), copy(after(tiny(crt()), 2).model))


def test_started_at_the_end_it_is_erm(weights):
    assert same(weights(Recipe()), weights(crt(1.0)))


@pytest.mark.parametrize("head", [None, CosineHead()], ids=["linear", "cosine"])
def test_the_new_head_owes_nothing_to_the_old_one(tiny, head):
    """The same new head after one step, whatever the old head and its momentum were."""
    results = []
    for scale in (1.0, 50.0):
        run = after(tiny(Recipe(head=head) | crt()), 2)
        with torch.no_grad():
            for weight in run.model.head.parameters():
                weight.mul_(scale)
                run.optimizer.state[weight]["momentum_buffer"].mul_(scale)
        next(run.epochs())
        results.append(copy(run.model.head))
    assert same(*results)


def test_the_new_head_is_drawn_anew_and_once(tiny):
    run = tiny(crt())
    first = copy(run.model.head)
    assert not same(first, run.step._fresh)
    after(run, 2)
    run.training = run.training.model_copy(update={"lr": 1e-12})  # so it stays where it was put
    next(run.epochs())
    torch.testing.assert_close(copy(run.model.head), run.step._fresh, rtol=0, atol=1e-9)
    run.training = run.training.model_copy(update={"lr": 0.1})
    next(run.epochs())
    learnt = copy(run.model.head)
    run.training = run.training.model_copy(update={"lr": 1e-12})
    next(run.epochs())
    torch.testing.assert_close(copy(run.model.head), learnt, rtol=0, atol=1e-9)


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_resumed_run_goes_on_bit_for_bit(same_after_resume, at):
    same_after_resume(crt(), at)


def test_the_head_is_trained_on_balanced_draws(tiny):
    run = after(tiny(crt(), (60, 30, 6)), 2)
    order, _ = run._begin(2)
    shares = torch.bincount(run.labels[torch.cat(order)], minlength=3) / (8 * 12)
    assert shares.min() > 0.2


def test_a_head_that_cannot_be_drawn_anew_is_refused(tiny):
    class Fixed(CosineHead):
        def build(self, scene):
            return nn.Sequential(nn.Linear(16, 3))

    with pytest.raises(MethodError, match="reset_parameters"):
        tiny(Recipe(head=Fixed()) | crt())
