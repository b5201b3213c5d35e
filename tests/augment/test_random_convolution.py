import pytest
import torch

from dmsrl_adapt.augment import RandomConvolution, random_convolution
from dmsrl_adapt.augment.random_convolution import convolve_each


def slow_convolution(image, kernel):
    """One image (C, H, W) by one kernel (C, C, k, k), pixel by pixel, with zeros beyond the sides."""
    channels, height, width = image.shape
    reach = kernel.shape[-1] // 2
    out = torch.zeros_like(image)
    for to in range(channels):
        for row in range(height):
            for column in range(width):
                for of in range(channels):
                    for y in range(-reach, reach + 1):
                        for x in range(-reach, reach + 1):
                            if 0 <= row + y < height and 0 <= column + x < width:
                                weight = kernel[to, of, reach + y, reach + x]
                                out[to, row, column] += weight * image[of, row + y, column + x]
    return out


@pytest.mark.parametrize("size", [1, 3])
def test_each_image_is_convolved_with_its_own_kernel(size):
    images, kernels = torch.randn(3, 2, 4, 5), torch.randn(3, 2, 2, size, size)
    expected = torch.stack([slow_convolution(*pair) for pair in zip(images, kernels, strict=True)])
    torch.testing.assert_close(convolve_each(images, kernels), expected, rtol=1e-4, atol=1e-5)


def test_every_image_changes_and_the_batch_given_stays():
    images = torch.randn(50, 1, 3, 3)
    before = images.clone()
    out = RandomConvolution()(images)
    assert (out != images).flatten(1).any(1).all()
    assert torch.equal(images, before)


@pytest.fixture
def drawn(monkeypatch):
    """The kernels that the layer draws, one tensor a call."""
    kernels = []

    def spy(images, drawn_now):
        kernels.append(drawn_now)
        return convolve_each(images, drawn_now)

    monkeypatch.setattr(random_convolution, "convolve_each", spy)
    return kernels


def test_each_image_is_blended_with_its_convolution(drawn):
    images = torch.randn(6, 2, 4, 5, dtype=torch.float64)
    out = RandomConvolution([3])(images)
    shares = []
    for image, kernel, blended in zip(images, drawn[0], out, strict=True):
        convolved = slow_convolution(image, kernel)
        # the share that one pixel tells is that of all the others
        shares.append((blended - convolved)[0, 0, 0].item() / (image - convolved)[0, 0, 0].item())
        expected = shares[-1] * image + (1 - shares[-1]) * convolved
        torch.testing.assert_close(blended, expected, rtol=1e-9, atol=1e-9)
    assert all(0 <= share <= 1 for share in shares)
    assert len(set(shares)) == 6


def test_blend_by_hand(monkeypatch):
    """Ones blended with threes: 3 - 2 a, for a between 0 and 1 as often as anywhere else."""
    monkeypatch.setattr(random_convolution, "convolve_each", lambda images, kernels: torch.full_like(images, 3.0))
    out = RandomConvolution()(torch.ones(2000, 1, 2, 2)).flatten(1)
    assert torch.equal(out, out[:, :1].expand(-1, 4))
    share = (3 - out[:, 0]) / 2
    assert 0 <= share.min() < 0.01
    assert 0.99 < share.max() <= 1
    assert share.mean().item() == pytest.approx(1 / 2, abs=0.03)
    assert share.var().item() == pytest.approx(1 / 12, abs=0.01)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_scale_of_a_convolved_image_is_kept_away_from_the_sides(size, drawn):
    images = torch.randn(300, 3, 11, 11)
    out = RandomConvolution([size])(images)
    convolved = convolve_each(images, drawn[0])
    assert convolved[:, :, 3:-3, 3:-3].square().mean().item() == pytest.approx(1, abs=0.15)
    # E[a^2 + (1 - a)^2]
    assert out[:, :, 3:-3, 3:-3].square().mean().item() == pytest.approx(2 / 3, abs=0.1)


def test_kernels_are_drawn_anew_for_every_image_and_call():
    images = torch.ones(2, 1, 1, 1)
    style = RandomConvolution([1])
    assert len({*style(images).flatten().tolist(), *style(images).flatten().tolist()}) == 4


def test_kernel_sizes_are_all_drawn():
    point = torch.zeros(1, 1, 7, 7)
    point[0, 0, 3, 3] = 1
    style = RandomConvolution([1, 3, 5])
    assert {int((style(point) != 0).sum()) for _ in range(40)} == {1, 9, 25}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_shape_and_dtype_are_kept(dtype):
    out = RandomConvolution()(torch.randn(2, 3, 6, 4).to(dtype))
    assert (out.shape, out.dtype) == ((2, 3, 6, 4), dtype)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_is_finite(dtype):
    with torch.autocast("cpu", dtype=dtype):
        out = RandomConvolution()(torch.randn(2, 3, 6, 4))
    assert out.dtype == torch.float32
    assert torch.isfinite(out).all()


def test_empty_batch_stays_empty():
    assert RandomConvolution()(torch.zeros(0, 3, 6, 4)).shape == (0, 3, 6, 4)


def test_there_is_nothing_to_save():
    assert not RandomConvolution().state_dict()


def test_images_need_four_axes():
    with pytest.raises(ValueError, match=r"images must have shape \(N, C, H, W\), got \(2, 3\)"):
        RandomConvolution()(torch.zeros(2, 3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel_sizes": [3, 4]}, r"kernel_sizes must be odd numbers of pixels, got \(3, 4\)"),
        ({"kernel_sizes": []}, r"kernel_sizes must be odd numbers of pixels, got \(\)"),
        ({"kernel_sizes": [-1]}, r"kernel_sizes must be odd numbers of pixels, got \(-1,\)"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RandomConvolution(**settings)
