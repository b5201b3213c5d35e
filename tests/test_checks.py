import pytest
import torch

from dmsrl_adapt import checks

NAN, INF = float("nan"), float("inf")


def test_sizes_from_one_on_and_none_pass():
    checks.check_sizes(feature_dim=1, num_classes=None)
    with pytest.raises(ValueError, match="hidden must be at least 1, got 0"):
        checks.check_sizes(feature_dim=2, hidden=0)


def test_shares_hold_their_ends_and_no_nan():
    checks.check_fractions(momentum=0, share=1)
    for value in (-0.01, 1.01, NAN):
        with pytest.raises(ValueError, match=rf"momentum must be in 0\.\.1, got {value}"):
            checks.check_fractions(momentum=value)


@pytest.mark.parametrize(("values", "came"), [(torch.zeros(2).long(), "torch.int64"), ([0.0], "list"), (None, "None")])
def test_what_is_not_floating_point_is_named(values, came):
    with pytest.raises(TypeError, match=f"rows must be a floating point tensor, got {came}"):
        checks.check_floating(values, "rows")


@pytest.mark.parametrize("shape", [(3,), (3, 5), (3, 4, 1)])
def test_features_of_another_shape(shape):
    with pytest.raises(ValueError, match=r"features must have shape \(N, 4\), got \(3,"):
        checks.check_features(torch.zeros(shape), 4)


def test_an_empty_batch_of_features_passes():
    checks.check_features(torch.zeros(0, 4), 4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("bad", [[NAN], [INF], [-INF], [NAN, INF]])
def test_every_value_that_is_not_finite_is_counted(bad, dtype):
    values = torch.zeros(3, 2, dtype=dtype)
    values.view(-1)[: len(bad)] = torch.tensor(bad)
    with pytest.raises(ValueError, match=f"rows must be finite, got {len(bad)} NaN or infinite values of 6"):
        checks.check_finite(values, "rows")


def test_the_largest_numbers_of_a_type_are_finite():
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        ends = torch.finfo(dtype)
        checks.check_finite(torch.tensor([ends.min, ends.max], dtype=dtype, requires_grad=True), "rows")


def test_a_tensor_without_values_is_refused():
    with pytest.raises(ValueError, match=r"rows must hold values, got a tensor of shape \(2, 3\) on the meta device"):
        checks.check_finite(torch.zeros(2, 3, device="meta"), "rows")


@pytest.mark.parametrize("images", [torch.zeros(0, 3), torch.tensor(1.0)])
def test_images_hold_a_sample(images):
    with pytest.raises(ValueError, match="src_imgs must hold at least one sample, got shape"):
        checks.check_images(images, "src_imgs")


def test_images_are_real():
    checks.check_images(torch.zeros(1, 3, dtype=torch.uint8), "src_imgs")
    with pytest.raises(TypeError, match=r"src_imgs must be a tensor of real numbers, got torch.complex64"):
        checks.check_images(torch.zeros(1, 3, dtype=torch.complex64), "src_imgs")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_labels_come_back_as_int64(dtype):
    labels = checks.check_labels(torch.tensor([0, 2], dtype=dtype), 2, 3)
    assert labels.dtype == torch.int64
    assert labels.tolist() == [0, 2]


@pytest.mark.parametrize("labels", [torch.zeros(2), torch.zeros(2, dtype=torch.bool), [0, 1]])
def test_labels_are_integers(labels):
    with pytest.raises(TypeError, match="known must be an integer tensor, got"):
        checks.check_labels(labels, 2, 3, name="known")


def test_labels_out_of_range():
    assert checks.check_labels(torch.tensor([-1, 2]), 2, 3, lowest=-1).tolist() == [-1, 2]
    for labels in ([-1, 2], [0, 3]):
        with pytest.raises(ValueError, match=rf"labels must be in 0\.\.2, got values from {labels[0]} to {labels[1]}"):
            checks.check_labels(torch.tensor(labels), 2, 3)


def test_one_value_a_sample():
    checks.check_weights(torch.tensor([0.0, 1.0]), 2)
    for weights, message in (
        (torch.ones(2, 1), r"must have shape \(2,\), got \(2, 1\)"),
        (torch.tensor([0.0, 1.5]), r"must be in 0\.\.1, got values from 0.0 to 1.5"),
        (torch.tensor([0.0, NAN]), r"must be in 0\.\.1, got values from nan to nan"),
    ):
        with pytest.raises(ValueError, match=f"weights {message}"):
            checks.check_weights(weights, 2)


def test_a_letter_of_a_shape_stands_for_any_length():
    checks.check_shape(torch.zeros(0, 4, 2), ("N", 4, "D"), "rows")
    for shape, wanted in ((("N", 4), r"\(N, 4\)"), ((3,), r"\(3,\)"), (("N", "C", "H"), r"\(N, C, H\)")):
        with pytest.raises(ValueError, match=rf"rows must have shape {wanted}, got \(4, 3\)"):
            checks.check_shape(torch.zeros(4, 3), shape, "rows")


def test_checks_of_values_can_be_turned_off_and_those_of_shapes_not():
    with checks.validate_args(False):
        checks.check_range(torch.tensor([7]), 1, 0, 1, "numbers")
        checks.check_finite(torch.tensor([torch.nan]), "numbers")
        with pytest.raises(ValueError, match="shape"):
            checks.check_range(torch.tensor([7]), 2, 0, 1, "numbers")
        with checks.validate_args(True), pytest.raises(ValueError, match="numbers must be finite"):
            checks.check_finite(torch.tensor([torch.nan]), "numbers")
    with pytest.raises(ValueError, match=r"numbers must be in 0\.\.1, got values from 7 to 7"):
        checks.check_range(torch.tensor([7]), 1, 0, 1, "numbers")


def test_several_checks_wait_once_and_the_first_error_is_told():
    large = 2**53 - 1
    with checks.read_at_once():
        checks.check_range(torch.tensor([large]), 1, 0, large, "numbers")
        checks.check_finite(torch.ones(2), "values")
        checks.check_finite(torch.zeros(0), "nothing")
    error = rf"numbers must be in 0\.\.{large - 1}, got values from 5 to {large}"
    with pytest.raises(ValueError, match=error), checks.read_at_once():
        checks.check_finite(torch.ones(2), "values")
        checks.check_range(torch.tensor([large, 5]), 2, 0, large - 1, "numbers")
        checks.check_finite(torch.full((2,), torch.inf), "later")
