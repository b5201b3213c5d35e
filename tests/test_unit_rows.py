import pytest
import torch
import torch.nn.functional as F

from dmsrl_adapt.unit_rows import unit_rows


def test_is_torchs_normalize_and_its_gradient_also_for_zero_and_tiny_rows():
    rows = torch.randn(5, 4)
    rows[1], rows[2] = 0, 1e-20
    rows.requires_grad_()
    weights = torch.randn(5, 4)
    found, expected = unit_rows(rows), F.normalize(rows, dim=1)
    assert torch.equal(found, expected)
    grads = [torch.autograd.grad((one * weights).sum(), rows)[0] for one in (found, expected)]
    torch.testing.assert_close(grads[0], grads[1])


def test_gradient_in_float64():
    rows = torch.tensor([[3.0, 4.0, 0.0], [0.1, -0.2, 0.3]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(unit_rows, rows)


def test_a_second_derivative_is_refused():
    rows = torch.randn(3, 2, requires_grad=True)
    (grad,) = torch.autograd.grad(unit_rows(rows).pow(3).sum(), rows, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()
