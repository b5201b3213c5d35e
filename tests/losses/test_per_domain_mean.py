import pytest
import torch

from dmsrl_adapt.losses.per_domain_mean import per_domain_mean


@pytest.mark.parametrize("seed", range(3))
def test_equals_a_loop(seed):
    torch.manual_seed(seed)
    values, domains = torch.randn(11), torch.randint(3, (11,))
    rows = list(zip(values.tolist(), domains.tolist(), strict=True))
    expected = 0.0
    for d in set(domains.tolist()):
        mine = [value for value, domain in rows if domain == d]
        expected += sum(mine) / len(mine)
    assert per_domain_mean(values, domains).item() == pytest.approx(expected, abs=1e-6)


def test_every_domain_has_the_same_say():
    assert per_domain_mean(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 2])).item() == 7


def test_gradcheck():
    values = torch.randn(5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: per_domain_mean(v, torch.tensor([0, 2, 2, 0, 0])), (values,))


def test_empty_batch_is_a_zero_with_a_gradient():
    values = torch.zeros(0, requires_grad=True)
    mean = per_domain_mean(values, torch.zeros(0, dtype=torch.long))
    mean.backward()
    assert mean.item() == 0
    assert values.grad.shape == (0,)
