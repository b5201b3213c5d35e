import copy

import pytest
import torch
from torch import nn

from dmsrl_adapt import AugmentHook, BackboneHook, ConsistencyHook, DMSRLHook, dmsrl_components
from dmsrl_adapt.losses import consistency_loss

from ..stand_ins import CLASSES, DIM, NUM_TARGET, Counted, assert_same_states, make_batch, make_opts, states
from .plain_steps import CLOSE, hook_step


def make():
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Conv2d(2, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, DIM))
    return {"G": Counted(trunk), "C": Counted(nn.Linear(DIM, CLASSES))}


def make_images(seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = {f"{domain}_imgs": torch.randn(8, 2, 8, 8, generator=generator) for domain in ("src", "target")}
    return {**make_batch(seed), **images}


AUGMENTATION = [AugmentHook("target"), BackboneHook(["target"])]


def network_input(batch):
    """Returns the target images after augmentation and the mask of augmented ones, as drawn after the same seed."""
    outputs, _ = AugmentHook("target")(batch)
    return outputs["target_imgs_input"], outputs["target_imgs_is_augmented"]


def test_one_step_equals_plain_pytorch():
    models, batch = make(), make_images()
    twins = copy.deepcopy(models)
    torch.manual_seed(5)
    weights = {"consistency_loss": 0.7}
    _, losses = hook_step("classifier", models, batch, [ConsistencyHook()], weights, pre=AUGMENTATION)
    torch.manual_seed(5)
    images, is_augmented = network_input(batch)
    assert 1 < is_augmented.sum() < 8
    G, C = twins["G"], twins["C"]
    target = C(G(images))
    source = nn.functional.cross_entropy(C(G(batch["src_imgs"])), batch["src_labels"])
    with torch.no_grad():
        probs = C(G(batch["target_imgs"][is_augmented])).softmax(1)
    consistency = consistency_loss(target[is_augmented], probs)
    opts = make_opts(twins)
    (source + 0.7 * consistency).backward()
    for opt in opts:
        opt.step()
    assert losses["total_loss"]["consistency_loss"] == pytest.approx(0.7 * consistency.item(), rel=1e-4)
    assert_same_states(states(models), states(twins), **CLOSE)
    assert models["G"].count == models["C"].count == 3


def test_outputs_and_losses_are_those_it_names():
    context = {**make(), **make_images(), "target_imgs_is_augmented": torch.ones(8, dtype=torch.bool)}
    hook = ConsistencyHook()
    outputs, losses = hook(context)
    assert outputs.keys() == set(hook.out_keys) == {"target_imgs_features", "target_imgs_features_logits"}
    assert list(losses) == hook.loss_keys == ["consistency_loss"]


def test_equal_predictions_give_the_entropy_as_loss_and_no_gradient():
    """Without augmentation the two predictions are equal, so the loss is at its minimum."""
    models, batch = make(), make_images()
    models["G"].eval()
    _, losses = ConsistencyHook()({**models, **batch, "target_imgs_is_augmented": torch.ones(8, dtype=torch.bool)})
    losses["consistency_loss"].backward()
    assert all(p.grad.abs().max() < 1e-6 for p in models["C"].parameters())


@pytest.mark.parametrize("number", [0, 1])
def test_with_fewer_than_two_augmented_images_the_loss_is_zero_without_another_pass(number):
    models, batch = make(), make_images()
    _, losses = ConsistencyHook()({**models, **batch, "target_imgs_is_augmented": torch.arange(8) < number})
    loss = losses["consistency_loss"]
    loss.backward()
    assert loss.item() == 0
    assert models["G"].count == 1


def test_several_classifiers_are_averaged():
    class Two(nn.Module):
        """Two classifiers, as in MCD."""

        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(DIM, CLASSES), nn.Linear(DIM, CLASSES)

        def forward(self, x):
            return [self.one(x), self.two(x)]

    models, batch = {**make(), "C": Two()}, make_images()
    models["G"].eval()
    is_augmented = torch.ones(8, dtype=torch.bool)
    images = batch["target_imgs"] + 1
    features = models["G"](images)
    context = {"target_imgs_features": features, "target_imgs_is_augmented": is_augmented}
    _, losses = ConsistencyHook()({**models, **batch, **context})
    plain = models["C"](models["G"](batch["target_imgs"]))
    probs = (plain[0].softmax(1) + plain[1].softmax(1)) / 2
    torch.testing.assert_close(losses["consistency_loss"], consistency_loss(models["C"](features), probs))


def test_whole_method_takes_one_more_pass_for_the_original_target_images():
    models, batch = make(), make_images()
    parts = dmsrl_components(DIM, CLASSES, NUM_TARGET, total_steps=10)
    parts.misc["training_progress"].step.fill_(5)
    models = {**models, **parts.models}
    outputs, losses = DMSRLHook(make_opts(models))({**models, **parts.misc, **batch})
    assert models["G"].count == models["C"].count == 3
    assert losses["total_loss"]["consistency_loss"] > 0
    assert 0 < outputs["target_imgs_is_augmented"].sum() < 8


def test_original_images_are_passed_without_gradient():
    models, batch, with_gradient = make(), make_images(), []
    models["G"].register_forward_hook(lambda *_: with_gradient.append(torch.is_grad_enabled()))
    ConsistencyHook()({**models, **batch, "target_imgs_is_augmented": torch.ones(8, dtype=torch.bool)})
    assert with_gradient == [True, False]


def test_a_shape_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"target_imgs_is_augmented must have shape \(8,\), got \(3,\)"):
        ConsistencyHook()({**make(), **make_images(), "target_imgs_is_augmented": torch.ones(3, dtype=torch.bool)})


@pytest.mark.parametrize("key", ["G", "C", "target_imgs", "target_imgs_is_augmented"])
def test_missing_key_names_the_key(key):
    context = {**make(), **make_images(), "target_imgs_is_augmented": torch.ones(8, dtype=torch.bool)}
    features = context["G"](context["target_imgs"])
    context |= {"target_imgs_features": features, "target_imgs_features_logits": context["C"](features)}
    del context[key]
    with pytest.raises(KeyError, match=f"ConsistencyHook needs '{key}' in the context, got"):
        ConsistencyHook()(context)
