import pytest
import torch

from dmsrl_adapt.backbones import MapPool, generalised_mean


def slow_mean(maps, power):
    """The generalised mean of every map, cell by cell."""
    pooled = torch.zeros(maps.shape[:2], dtype=maps.dtype)
    for i, image in enumerate(maps):
        for c, one in enumerate(image):
            total = sum(max(cell, 1e-6) ** power for row in one.tolist() for cell in row)
            pooled[i, c] = (total / one.numel()) ** (1 / power)
    return pooled


@pytest.mark.parametrize("power", [1.0, 3.0, 4.5])
def test_generalised_mean_equals_a_slow_loop(power):
    maps = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(generalised_mean(maps, torch.tensor(power)), slow_mean(maps, power))


def test_generalised_mean_by_hand():
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 0.0]]]])
    assert generalised_mean(maps, torch.tensor(1.0)).item() == pytest.approx(1.5, rel=1e-5)
    assert generalised_mean(maps, torch.tensor(2.0)).item() == pytest.approx(3.5**0.5)
    assert generalised_mean(maps, torch.tensor(60.0)).item() == pytest.approx(3.0, rel=0.03)


def test_gradient_of_the_generalised_mean():
    maps = torch.rand(2, 2, 3, 3, dtype=torch.float64) + 0.1
    power = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(generalised_mean, (maps.requires_grad_(), power))


def test_gradient_of_dead_maps_is_finite():
    maps, pool = torch.zeros(2, 3, 4, 4, requires_grad=True), MapPool("gem")
    pool(maps).sum().backward()
    assert maps.grad.isfinite().all()
    assert pool.power.grad.isfinite()


def test_kinds_by_hand():
    maps = torch.tensor([[[[1.0, 2.0], [3.0, -2.0]], [[0.0, 0.0], [4.0, 0.0]]]])
    assert MapPool("avg")(maps).tolist() == [[1.0, 1.0]]
    assert MapPool("max")(maps).tolist() == [[3.0, 4.0]]
    assert MapPool("flatten")(maps).tolist() == [[1.0, 2.0, 3.0, -2.0, 0.0, 0.0, 4.0, 0.0]]
    assert MapPool("gem")(maps)[0].tolist() == pytest.approx([(36 / 4) ** (1 / 3), 16 ** (1 / 3)], rel=1e-5)


def test_only_the_generalised_mean_learns():
    assert {pool: list(MapPool(pool).state_dict()) for pool in ("avg", "max", "gem", "flatten")} == {
        "avg": [],
        "max": [],
        "gem": ["power"],
        "flatten": [],
    }


def test_half_precision_is_kept_and_computed_in_float32():
    # 60^3 is beyond what half precision can hold
    maps = torch.full((1, 1, 2, 2), 60.0, dtype=torch.float16)
    with torch.autocast("cpu", torch.bfloat16):
        pooled = MapPool("gem")(maps)
    assert pooled.dtype == torch.float16
    assert pooled.item() == pytest.approx(60.0)


def test_unknown_pool_is_named():
    with pytest.raises(ValueError, match=r"pool must be one of \('avg', 'max', 'gem', 'flatten'\), got 'sum'"):
        MapPool("sum")


def test_power_is_a_number_or_a_tensor():
    maps = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(generalised_mean(maps, 3.0), generalised_mean(maps, torch.tensor(3.0)))


def test_bad_input_of_the_generalised_mean():
    with pytest.raises(ValueError, match=r"maps must have shape \(N, C, H, W\), got \(2, 3\)"):
        generalised_mean(torch.ones(2, 3), 3.0)
    with pytest.raises(TypeError, match=r"maps must be a floating point tensor, got torch.int64"):
        generalised_mean(torch.ones(2, 3, 4, 4).long(), 3.0)
    for power, lowest in ((0.0, 1e-6), (3.0, 0.0)):
        with pytest.raises(ValueError, match=f"power and lowest must be above 0, got {power} and {lowest}"):
            generalised_mean(torch.ones(2, 3, 4, 4), power, lowest)
