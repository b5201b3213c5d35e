import pytest
import torch

from dmsrl_adapt import AugmentHook
from dmsrl_adapt.augment.random_affine import moved_images
from dmsrl_adapt.training import SourceAccuracy

from ..stand_ins import make_batch


def make_images(size=8):
    generator = torch.Generator().manual_seed(0)
    return {f"{domain}_imgs": torch.randn(size, 2, 8, 8, generator=generator) for domain in ("src", "target")}


@pytest.mark.parametrize("domain", ["src", "target"])
@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_that_share_of_the_images_changes_and_it_says_which(domain, probability):
    batch, hook = make_images(400), AugmentHook(domain, probability)
    before = batch[f"{domain}_imgs"].clone()
    outputs, losses = hook(batch)
    styled, is_augmented = outputs[f"{domain}_imgs_input"], outputs[f"{domain}_imgs_is_augmented"]
    assert torch.equal(batch[f"{domain}_imgs"], before)
    assert torch.equal((styled != before).flatten(1).any(1), is_augmented)
    assert is_augmented.float().mean().item() == pytest.approx(probability, abs=0.08)
    assert outputs.keys() == set(hook.out_keys)
    assert losses == {}
    assert hook.loss_keys == []


@pytest.mark.parametrize(("skill", "share"), [(0.0, 0.0), (0.5, 0.4), (1.0, 0.8)])
def test_the_share_follows_the_skill(skill, share):
    source_accuracy = SourceAccuracy(2)
    # two classes, equally frequent in labels and predictions
    source_accuracy.counts.copy_(torch.tensor([[1 - skill] * 2, [2.0, 2.0], [2.0, 2.0]]))
    hook = AugmentHook(probability=0.8, accuracy_gate=True)
    outputs, _ = hook({**make_images(400), "source_accuracy": source_accuracy})
    assert outputs["src_imgs_is_augmented"].float().mean().item() == pytest.approx(share, abs=0.08)


def test_missing_skill_is_named():
    with pytest.raises(KeyError, match="AugmentHook needs 'source_accuracy' in the context, got"):
        AugmentHook(accuracy_gate=True)(make_images())


def test_the_source_is_styled_by_half_unless_told_otherwise():
    outputs, _ = AugmentHook()(make_images(400))
    assert outputs["src_imgs_is_augmented"].float().mean().item() == pytest.approx(0.5, abs=0.08)


def test_kernel_sizes_reach_the_convolution():
    """A kernel of one pixel leaves what is black; a larger one draws from around it."""
    images = torch.zeros(4, 1, 5, 5)
    images[:, :, 2, 2] = 1
    for size, changed in ((1, 1), (3, 9)):
        hook = AugmentHook(probability=1.0, kernel_sizes=[size], affine_strength=0)
        styled = hook({"src_imgs": images})[0]["src_imgs_input"]
        assert ((styled != 0).flatten(1).sum(1) == changed).all()


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_styled_images_are_moved_and_the_others_stay(strength):
    outputs, _ = AugmentHook(affine_strength=strength)(make_images(400))
    is_moved = (outputs["src_imgs_affine"] != torch.eye(2, 3)).flatten(1).any(1)
    assert torch.equal(is_moved, outputs["src_imgs_is_augmented"] & (strength > 0))


def test_strength_reaches_the_pose():
    images = torch.zeros(200, 1, 64, 64)
    moves = [
        AugmentHook(probability=1.0, **strength)({"src_imgs": images})[0]["src_imgs_affine"][:, :, 2]
        for strength in ({}, {"affine_strength": 3.0})
    ]
    assert 0.09 < moves[0].abs().max() < 0.1
    assert 0.27 < moves[1].abs().max() < 0.3


def test_pose_says_where_each_image_is_read():
    images = torch.rand(60, 1, 12, 16)
    outputs, _ = AugmentHook(kernel_sizes=[1])({"src_imgs": images})
    pose, is_augmented = outputs["src_imgs_affine"], outputs["src_imgs_is_augmented"]
    assert torch.equal(pose[~is_augmented], torch.eye(2, 3).expand(int((~is_augmented).sum()), 2, 3))
    moved = moved_images(images, pose)
    share = outputs["src_imgs_input"] / moved  # a kernel of one pixel multiplies the whole image by one number
    assert share.flatten(1).std(1).max() < 1e-3


@pytest.mark.parametrize("shape", [(5, 2, 16), (5, 2, 3, 8, 8)])
def test_signals_and_volumes_have_no_style(shape):
    images = torch.randn(shape)
    outputs, _ = AugmentHook(probability=1.0)({"src_imgs": images})
    assert torch.equal(outputs["src_imgs_input"], images)
    assert not outputs["src_imgs_is_augmented"].any()


def test_feature_vectors_have_no_style():
    batch = make_batch()
    outputs, _ = AugmentHook(probability=1.0)(batch)
    assert torch.equal(outputs["src_imgs_input"], batch["src_imgs"])
    assert not outputs["src_imgs_is_augmented"].any()


@pytest.mark.parametrize("shape", [(400, 6), (400, 2, 8, 8)])
@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_a_style_that_the_batch_brings_is_shown_and_no_other(shape, probability):
    images, augmented = torch.randn(2, *shape)
    outputs, _ = AugmentHook("target", probability)({"target_imgs": images, "target_imgs_augmented": augmented})
    styled, is_augmented, pose = (outputs[f"target_imgs_{name}"] for name in ("input", "is_augmented", "affine"))
    assert torch.equal(styled[is_augmented], augmented[is_augmented])
    assert torch.equal(styled[~is_augmented], images[~is_augmented])
    assert is_augmented.float().mean().item() == pytest.approx(probability, abs=0.08)
    assert torch.equal(pose, torch.eye(2, 3).expand(400, 2, 3))


def test_a_style_that_the_batch_brings_is_like_the_images():
    batch = make_batch()
    shapes = r"must have the shape of 'src_imgs', \(8, 6\), got \(7, 6\)"
    with pytest.raises(ValueError, match=f"'src_imgs_augmented' {shapes}"):
        AugmentHook()({**batch, "src_imgs_augmented": batch["src_imgs"][1:]})
    for augmented, came in ((batch["src_imgs"].half(), "torch.float16"), ([1.0], "list")):
        message = f"'src_imgs_augmented' must be a tensor of torch.float32 as 'src_imgs' is, got {came}"
        with pytest.raises(TypeError, match=message):
            AugmentHook()({**batch, "src_imgs_augmented": augmented})


@pytest.mark.parametrize(("probability", "skill"), [(0.0, 1.0), (0.5, 0.0)])
def test_a_share_of_zero_is_none_even_where_zero_is_drawn(probability, skill, monkeypatch):
    monkeypatch.setattr(torch, "rand", torch.zeros)
    context = {"src_imgs": torch.ones(4, 1, 8, 8), "source_accuracy": lambda: torch.tensor(skill)}
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
