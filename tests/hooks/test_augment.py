import numpy as np
import pytest
import torch

from dmsrl_adapt import AugmentHook
from dmsrl_adapt.augment.host_draws import drawn_number, drawn_rows
from dmsrl_adapt.augment.random_affine import moved_images
from dmsrl_adapt.training import SourceAccuracy

from ..stand_ins import make_batch


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_rows_are_drawn_with_their_probability(probability):
    rows = drawn_rows(2000, probability)
    assert len(rows) / 2000 == pytest.approx(probability, abs=0.05)
    assert (np.diff(rows) > 0).all()


def test_the_same_seed_draws_the_same():
    drawn = []
    for _ in range(2):
        torch.manual_seed(0)
        drawn.append((drawn_rows(50, 0.5).tolist(), [drawn_number(3) for _ in range(40)]))
    assert drawn[0] == drawn[1]
    assert set(drawn[0][1]) == {0, 1, 2}


def make_images(size=8):
    generator = torch.Generator().manual_seed(0)
    return {f"{domain}_imgs": torch.randn(size, 2, 8, 8, generator=generator) for domain in ("src", "target")}


@pytest.mark.parametrize("domain", ["src", "target"])
@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_augments_with_the_probability_and_marks_augmented_images(domain, probability):
    batch, hook = make_images(400), AugmentHook(domain, probability)
    before = batch[f"{domain}_imgs"].clone()
    outputs, losses = hook(batch)
    inputs, is_augmented = outputs[f"{domain}_imgs_input"], outputs[f"{domain}_imgs_is_augmented"]
    assert torch.equal(batch[f"{domain}_imgs"], before)
    assert torch.equal((inputs != before).flatten(1).any(1), is_augmented)
    assert is_augmented.float().mean().item() == pytest.approx(probability, abs=0.08)
    assert outputs.keys() == set(hook.out_keys)
    assert losses == {}
    assert hook.loss_keys == []


@pytest.mark.parametrize(("accuracy", "probability"), [(0.0, 0.0), (0.5, 0.4), (1.0, 0.8)])
def test_accuracy_gate_scales_the_probability(accuracy, probability):
    source_accuracy = SourceAccuracy(2)
    # two classes, equally frequent in labels and predictions
    source_accuracy.counts.copy_(torch.tensor([[1 - accuracy] * 2, [2.0, 2.0], [2.0, 2.0]]))
    hook = AugmentHook(probability=0.8, accuracy_gate=True)
    outputs, _ = hook({**make_images(400), "source_accuracy": source_accuracy})
    assert outputs["src_imgs_is_augmented"].float().mean().item() == pytest.approx(probability, abs=0.08)


def test_missing_source_accuracy_is_named():
    with pytest.raises(KeyError, match="AugmentHook needs 'source_accuracy' in the context, got"):
        AugmentHook(accuracy_gate=True)(make_images())


def test_half_of_the_source_is_augmented_by_default():
    outputs, _ = AugmentHook()(make_images(400))
    assert outputs["src_imgs_is_augmented"].float().mean().item() == pytest.approx(0.5, abs=0.08)


def test_kernel_sizes_reach_the_convolution():
    """A kernel of one pixel keeps black pixels; a larger one mixes in their neighbours."""
    images = torch.zeros(4, 1, 5, 5)
    images[:, :, 2, 2] = 1
    for size, changed in ((1, 1), (3, 9)):
        hook = AugmentHook(probability=1.0, kernel_sizes=[size], affine_strength=0)
        inputs = hook({"src_imgs": images})[0]["src_imgs_input"]
        assert ((inputs != 0).flatten(1).sum(1) == changed).all()


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_only_augmented_images_are_moved(strength):
    outputs, _ = AugmentHook(affine_strength=strength)(make_images(400))
    is_moved = (outputs["src_imgs_affine"] != torch.eye(2, 3)).flatten(1).any(1)
    assert torch.equal(is_moved, outputs["src_imgs_is_augmented"] & (strength > 0))


def test_affine_strength_scales_the_shift():
    assert AugmentHook().affine.strength == 1.0
    images = torch.zeros(200, 1, 64, 64)
    moves = [
        AugmentHook(probability=1.0, affine_strength=strength)({"src_imgs": images})[0]["src_imgs_affine"][:, :, 2]
        for strength in (1.0, 3.0)
    ]
    assert 0.09 < moves[0].abs().max() < 0.1
    assert 0.27 < moves[1].abs().max() < 0.3


def test_affine_matrix_is_the_transformation_of_each_image():
    images = torch.rand(60, 1, 12, 16)
    outputs, _ = AugmentHook(kernel_sizes=[1])({"src_imgs": images})
    affine, is_augmented = outputs["src_imgs_affine"], outputs["src_imgs_is_augmented"]
    assert torch.equal(affine[~is_augmented], torch.eye(2, 3).expand(int((~is_augmented).sum()), 2, 3))
    moved = moved_images(images, affine)
    factor = outputs["src_imgs_input"] / moved  # a kernel of one pixel multiplies the whole image by one number
    assert factor.flatten(1).std(1).max() < 1e-3


@pytest.mark.parametrize("shape", [(5, 2, 16), (5, 2, 3, 8, 8)])
def test_signals_and_volumes_are_not_augmented(shape):
    images = torch.randn(shape)
    outputs, _ = AugmentHook(probability=1.0)({"src_imgs": images})
    assert torch.equal(outputs["src_imgs_input"], images)
    assert not outputs["src_imgs_is_augmented"].any()


def test_feature_vectors_are_not_augmented():
    batch = make_batch()
    outputs, _ = AugmentHook(probability=1.0)(batch)
    assert torch.equal(outputs["src_imgs_input"], batch["src_imgs"])
    assert not outputs["src_imgs_is_augmented"].any()


@pytest.mark.parametrize("shape", [(400, 6), (400, 2, 8, 8)])
@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_an_augmented_view_of_the_batch_is_used_as_it_is(shape, probability):
    images, augmented = torch.randn(2, *shape)
    outputs, _ = AugmentHook("target", probability)({"target_imgs": images, "target_imgs_augmented": augmented})
    inputs, is_augmented, affine = (outputs[f"target_imgs_{name}"] for name in ("input", "is_augmented", "affine"))
    assert torch.equal(inputs[is_augmented], augmented[is_augmented])
    assert torch.equal(inputs[~is_augmented], images[~is_augmented])
    assert is_augmented.float().mean().item() == pytest.approx(probability, abs=0.08)
    assert torch.equal(affine, torch.eye(2, 3).expand(400, 2, 3))


def test_an_augmented_view_must_have_shape_and_dtype_of_the_images():
    batch = make_batch()
    shapes = r"must have the shape of 'src_imgs', \(8, 6\), got \(7, 6\)"
    with pytest.raises(ValueError, match=f"'src_imgs_augmented' {shapes}"):
        AugmentHook()({**batch, "src_imgs_augmented": batch["src_imgs"][1:]})
    for augmented, came in ((batch["src_imgs"].half(), "torch.float16"), ([1.0], "list")):
        message = f"'src_imgs_augmented' must be a tensor of torch.float32 as 'src_imgs' is, got {came}"
        with pytest.raises(TypeError, match=message):
            AugmentHook()({**batch, "src_imgs_augmented": augmented})


@pytest.mark.parametrize(("probability", "accuracy"), [(0.0, 1.0), (0.5, 0.0)])
def test_probability_zero_augments_nothing_even_if_zero_is_drawn(probability, accuracy, monkeypatch):
    monkeypatch.setattr(torch, "rand", torch.zeros)
    context = {"src_imgs": torch.ones(4, 1, 8, 8), "source_accuracy": lambda: accuracy}
    outputs, _ = AugmentHook(probability=probability, accuracy_gate=True)(context)
    assert not outputs["src_imgs_is_augmented"].any()


def test_empty_batch_stays_empty():
    outputs, _ = AugmentHook(probability=1.0)({"src_imgs": torch.zeros(0, 2, 8, 8)})
    assert outputs["src_imgs_input"].shape == (0, 2, 8, 8)
    assert outputs["src_imgs_is_augmented"].shape == (0,)


def test_missing_images_name_hook_and_key():
    with pytest.raises(KeyError, match="AugmentHook needs 'target_imgs' in the context, got"):
        AugmentHook("target")({})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"domain": "both"}, r"domain must be one of \('src', 'target'\), got 'both'"),
        ({"probability": 2.0}, r"probability must be in 0\.\.1, got 2"),
        ({"probability": -0.1}, r"probability must be in 0\.\.1, got -0\.1"),
        ({"affine_strength": -1.0}, r"strength must be at least 0, got -1"),
        ({"kernel_sizes": [2]}, r"kernel_sizes must be odd numbers of pixels, got \(2,\)"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        AugmentHook(**settings)
