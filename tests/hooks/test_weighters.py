import math

import pytest
import torch
from pytorch_adapt.weighters import MeanWeighter, SumWeighter

from dmsrl_adapt.checks import validate_args
from dmsrl_adapt.hooks.weighters import FiniteHook, HostWeighter, StepWeighter

LOSSES = {"a": torch.tensor(1.0), "ours": torch.tensor(10.0), "b": torch.tensor(3.0), "off": torch.tensor(float("nan"))}


@pytest.mark.parametrize(
    ("host", "total", "ours"), [(MeanWeighter(), 4.5, 2.5), (SumWeighter(weights={"b": 2.0}), 12.0, 5.0)]
)
def test_losses_of_the_host_are_weighed_among_themselves(host, total, ours):
    loss, components = HostWeighter(host, {"ours": 0.5, "off": 0.0})(LOSSES)
    own = host({"a": LOSSES["a"], "b": LOSSES["b"]})[1]
    assert loss == total
    assert components == {"a": own["a"], "b": own["b"], "ours": ours, "off": 0.0, "total": total}


def test_loss_of_weight_0_leaves_even_a_missing_gradient_missing():
    a, ours = (torch.ones((), requires_grad=True) for _ in range(2))
    HostWeighter(MeanWeighter(), {"ours": 0.0})({"a": a, "ours": ours})[0].backward()
    assert (a.grad, ours.grad) == (1, None)


def guarded(weighter, features):
    finite = FiniteHook()
    finite({"src_imgs_features": features, "target_imgs_features_logits": [torch.zeros(2, 3), features]}, {})
    return StepWeighter(weighter, finite)


class Own(SumWeighter):
    """A weighter of one's own, which is called as it is."""

    def __call__(self, losses):
        return super().__call__({key: 2 * loss for key, loss in losses.items()})


WEIGHTERS = [
    SumWeighter(weights={"a": 2.0}, scale=0.5),
    MeanWeighter(),
    Own(),
    HostWeighter(MeanWeighter(scale=3.0), {"b": 0.5}),
    HostWeighter(Own(), {"b": 0.5}),
]


@pytest.mark.parametrize("weighter", WEIGHTERS, ids=repr)
def test_a_step_has_the_losses_and_gradients_of_its_weighter(weighter):
    found = []
    for one in (weighter, guarded(weighter, torch.eye(2))):
        leaves = {key: torch.tensor(value, requires_grad=True) for key, value in (("a", 0.3), ("b", 0.7))}
        total, numbers = one(leaves)
        total.backward()
        found.append((total.item(), numbers, [leaf.grad.item() for leaf in leaves.values()]))
    assert found[0] == found[1]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("weighter", WEIGHTERS, ids=repr)
def test_features_that_are_not_finite_are_refused_though_no_loss_shows_them(weighter, bad):
    step = guarded(weighter, torch.eye(2).fill_diagonal_(bad))
    losses = {"a": torch.tensor(0.3), "b": torch.tensor(0.7)}
    with (
        pytest.raises(ValueError, match="src_imgs_features must be finite, got 2 NaN or infinite values of 4"),
        validate_args(False),
    ):
        step(losses)
    # nothing is kept for the next step
    assert math.isfinite(step(losses)[1]["total"])


def test_a_loss_that_is_not_finite_is_none_of_its_business():
    _, numbers = guarded(SumWeighter(), torch.eye(2))({"a": torch.tensor(torch.nan)})
    assert math.isnan(numbers["total"])


def test_weights_of_a_loss_that_is_missing_are_refused_as_upstream_refuses_them():
    with pytest.raises(KeyError, match="weights"):
        guarded(SumWeighter(weights={"c": 1.0}), torch.eye(2))({"a": torch.tensor(1.0)})
