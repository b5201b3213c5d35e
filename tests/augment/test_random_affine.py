import math

import numpy as np
import pytest
import torch

from dmsrl_adapt.augment import RandomAffine
from dmsrl_adapt.augment.random_affine import affine_matrices, moved_images, moved_points


def maps(turn=0.0, shear=0.0, width=1.0, height=1.0, shift=(0.0, 0.0), aspect=1.0):
    one = {"turn": turn, "shear": shear, "width": width, "height": height}
    arrays = {key: np.float32([value]) for key, value in one.items()}
    return torch.from_numpy(affine_matrices(**arrays, shift=np.float32([shift]), aspect=aspect)).float()


def blobs(points, height, width):
    """Images (N, 1, H, W) with a soft spot at each point, given in shares of width and height."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    places = points * torch.tensor([width, height])
    squares = (x - places[:, 0, None, None]) ** 2 + (y - places[:, 1, None, None]) ** 2
    return torch.exp(-squares / 8)[:, None]


def centres(images):
    """Centres of mass, in shares of width and height; shape (N, 2)."""
    height, width = images.shape[2:]
    mass = images[:, 0] / images[:, 0].sum((1, 2), keepdim=True)
    x = (mass.sum(1) * (torch.arange(width) + 0.5)).sum(1) / width
    y = (mass.sum(2) * (torch.arange(height) + 0.5)).sum(1) / height
    return torch.stack([x, y], dim=1)


def test_points_go_where_what_was_there_goes():
    torch.manual_seed(0)
    points = torch.rand(50, 2) * 0.3 + 0.35
    images = blobs(points, height=48, width=64)
    drawn = torch.from_numpy(RandomAffine().draw(images))
    moved = moved_points(points[:, None], drawn)[:, 0]
    torch.testing.assert_close(centres(moved_images(images, drawn)), moved, atol=0.004, rtol=0)
    assert (moved - points).abs().amax() > 0.05


def test_a_quarter_turn_is_that_of_torch():
    images = torch.randn(1, 3, 6, 6)
    torch.testing.assert_close(moved_images(images, maps(turn=math.pi / 2)), torch.rot90(images, 1, (2, 3)))


def test_turning_leaves_lengths_as_they_are_in_images_that_are_not_square():
    points = torch.tensor([[[0.5, 0.5], [0.7, 0.5]]])  # 40 pixels of 200 x 100 apart
    moved = moved_points(points, maps(turn=math.pi / 2, aspect=2.0)) * torch.tensor([200, 100])
    assert (moved[0, 1] - moved[0, 0]).abs().tolist() == pytest.approx([0, 40], abs=1e-4)


def test_shear_slants_by_its_angle_in_pixels():
    points = torch.tensor([[[0.5, 0.5], [0.5, 0.7]]])
    moved = moved_points(points, maps(shear=math.pi / 4, aspect=2.0)) * torch.tensor([200, 100])
    assert (moved[0, 1] - moved[0, 0]).abs().tolist() == pytest.approx([20, 20], abs=1e-4)


@pytest.mark.parametrize(("change", "moved"), [({"width": 2.0}, [0.35, 0.3]), ({"height": 2.0}, [0.2, 0.4])])
def test_read_twice_as_wide_or_high_it_is_half_as_wide_or_high(change, moved):
    assert moved_points(torch.tensor([[[0.2, 0.3]]]), maps(**change)).flatten().tolist() == pytest.approx(moved)


def test_shift_is_in_half_sides():
    moved = moved_points(torch.tensor([[[0.2, 0.3]]]), maps(shift=(0.1, -0.2)))
    assert moved.flatten().tolist() == pytest.approx([0.15, 0.4])


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_ranges_are_those_promised_and_used_to_their_ends(strength):
    torch.manual_seed(0)
    drawn = torch.from_numpy(RandomAffine(strength).draw(torch.zeros(4000, 1, 8, 8)))
    turn = torch.atan2(drawn[:, 1, 0], drawn[:, 0, 0]).rad2deg().abs()
    shift = drawn[:, :, 2].abs() / 2
    scale = torch.linalg.det(drawn[:, :, :2]).log().abs() / 2
    for values, reach in ((turn, 15), (shift, 0.05), (scale, math.log(1.2))):
        assert values.max().item() == pytest.approx(reach * strength, rel=0.02)
        assert values.max().item() <= reach * strength * (1 + 1e-4)
    width = drawn[:, :, 0].norm(dim=1).log().abs()
    assert width.max().item() == pytest.approx(1.5 * math.log(1.2) * strength, rel=0.05)
    slant = (drawn[:, :, 0] * drawn[:, :, 1]).sum(1) / drawn[:, :, 0].norm(dim=1)
    assert slant.max().item() == pytest.approx(math.tan(math.radians(10 * strength)), rel=0.02)


def test_every_image_gets_a_pose_of_its_own_and_the_batch_given_stays():
    images = torch.randn(1, 2, 9, 7).expand(20, -1, -1, -1).clone()
    before = images.clone()
    out = RandomAffine()(images)
    assert torch.equal(images, before)
    assert out.shape == images.shape
    assert (out[1:] != out[:-1]).flatten(1).any(1).all()


def test_without_strength_nothing_moves():
    images = torch.randn(4, 3, 5, 6)
    torch.testing.assert_close(RandomAffine(0.0)(images), images)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_images_keep_their_type(dtype):
    assert RandomAffine()(torch.randn(4, 3, 5, 6).to(dtype)).dtype == dtype


def test_empty_batch_stays_empty():
    assert RandomAffine()(torch.zeros(0, 3, 5, 6)).shape == (0, 3, 5, 6)


def test_the_same_seed_draws_the_same():
    images = torch.randn(4, 3, 5, 6)
    first, second = ((torch.manual_seed(3), RandomAffine()(images))[1] for _ in range(2))
    assert torch.equal(first, second)


def test_images_of_another_shape_or_type_are_refused():
    with pytest.raises(ValueError, match=r"images must have shape \(N, C, H, W\), got \(2, 3\)"):
        RandomAffine()(torch.zeros(2, 3))
    with pytest.raises(TypeError, match=r"images must be a floating point tensor, got torch\.uint8"):
        RandomAffine()(torch.zeros(2, 3, 4, 4, dtype=torch.uint8))


def test_negative_strength_is_refused():
    with pytest.raises(ValueError, match="strength must be at least 0, got -1"):
        RandomAffine(-1)
