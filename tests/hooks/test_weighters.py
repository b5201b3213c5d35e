import pytest
import torch
from pytorch_adapt.weighters import MeanWeighter, SumWeighter

from dmsrl_adapt.hooks.weighters import HostWeighter

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
