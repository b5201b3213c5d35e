import copy

import pytest
import torch
from pytorch_adapt import adapters
from pytorch_adapt.containers import Models
from torch import nn

from dmsrl_adapt import DEFAULT, DMSRL, AugmentHook, BackboneHook, attach_dmsrl, dmsrl_components
from dmsrl_adapt.hooks.backbone import arguments_of, run_backbone_on_rows

from ..stand_ins import (
    CLASSES,
    DIM,
    NUM_TARGET,
    Counted,
    assert_same_states,
    make_batch,
    make_models,
    make_opts,
    states,
)
from .host_table import HOSTS as TABLE
from .host_table import attach, host_batch, make_adapter
from .plain_steps import CLOSE, HOSTS, hook_step, make_discriminator, plain_step


def make(host="classifier"):
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Conv2d(2, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, DIM))
    models = {"G": Counted(trunk), "C": Counted(nn.Linear(DIM, CLASSES))}
    return {**models, "D": make_discriminator()} if host == "dann" else models


def make_images(seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = {f"{domain}_imgs": torch.randn(8, 2, 8, 8, generator=generator) for domain in ("src", "target")}
    return {**make_batch(seed), **images}


@pytest.mark.parametrize("host", HOSTS)
def test_one_step_equals_plain_pytorch_on_augmented_images(host):
    models, batch = make(host), make_images()
    twins, domains = copy.deepcopy(models), ["src", "target"] if host == "dann" else ["src"]
    torch.manual_seed(5)
    hook_step(host, models, batch, [], pre=[*map(AugmentHook, domains), BackboneHook(domains)])
    torch.manual_seed(5)
    augmented = {f"{domain}_imgs": AugmentHook(domain)(batch)[0][f"{domain}_imgs_input"] for domain in domains}
    assert not any(torch.equal(images, batch[key]) for key, images in augmented.items())
    plain_step(host, twins, make_opts(twins), {**batch, **augmented})
    # the plain step of a classifier looks at the target too, which moves the batch statistics of G and nothing else
    left_out = {key for key in states(models) if host == "classifier" and ("running" in key or "num_batches" in key)}
    ours, theirs = ({k: v for k, v in states(m).items() if k not in left_out} for m in (models, twins))
    assert_same_states(ours, theirs, **CLOSE)
    assert models["G"].count == len(domains)
    assert models["C"].count == 1


def test_without_augmentation_features_are_those_of_the_original_images():
    context, hook = {**make_models(), **make_batch()}, BackboneHook()
    outputs, losses = hook(context)
    for domain in ("src", "target"):
        assert torch.equal(outputs[f"{domain}_imgs_features"], context["G"](context[f"{domain}_imgs"]))
    assert outputs.keys() == set(hook.out_keys)
    assert losses == {}
    assert hook.loss_keys == []


def test_existing_features_are_kept():
    context = {**make(), **make_images(), "src_imgs_features": torch.zeros(8, DIM)}
    outputs, _ = BackboneHook()(context)
    assert outputs.keys() == {"target_imgs_features"}
    assert context["G"].count == 1


class Network(nn.Module):
    def forward(self, images, mask, features=None, scale=1.0, *others, shift=0.0, **kwargs):
        return images


def test_other_inputs_of_a_network_are_its_named_arguments_but_the_first_and_those_that_hooks_write():
    assert arguments_of(Network()) == ("mask", "scale", "shift")
    assert arguments_of(nn.DataParallel(Network())) == ("mask", "scale", "shift")
    assert arguments_of(nn.Linear(2, 2)) == ()


@pytest.mark.parametrize("key", ["G", "src_imgs"])
def test_missing_key_names_hook_and_key(key):
    context = {**make(), **make_images()}
    del context[key]
    with pytest.raises(KeyError, match=f"BackboneHook needs '{key}' in the context, got"):
        BackboneHook()(context)


class WithMask(nn.Module):
    """A network of a user's, which takes more than images."""

    def __init__(self):
        super().__init__()
        self.net, self.seen = nn.Linear(6, DIM), []

    def forward(self, x, mask=None, *, scale=None, **others):
        self.seen.append((mask, scale, others))
        return self.net(x if mask is None else x * mask)


class Wrapper(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)


@pytest.mark.parametrize("wrapped", [False, True])
def test_other_inputs_of_the_network_are_passed_on_by_their_names(wrapped):
    network, batch = WithMask(), make_batch()
    masks = {f"{domain}_imgs_mask": torch.rand(8, 6) for domain in ("src", "target")}
    more = {"src_imgs_scale": torch.ones(8), "src_imgs_features_of_others": torch.ones(8), "src_imgs_other": 1}
    outputs, _ = BackboneHook()({"G": Wrapper(network) if wrapped else network, **batch, **masks, **more})
    for domain, (mask, scale, others) in zip(("src", "target"), network.seen, strict=True):
        assert mask is masks[f"{domain}_imgs_mask"]
        assert (scale is more["src_imgs_scale"]) == (domain == "src")
        assert others == {}
        expected = network.net(batch[f"{domain}_imgs"] * mask)
        assert torch.equal(outputs[f"{domain}_imgs_features"], expected)


def test_where_needed_only_domains_that_upstream_would_see_otherwise_are_computed():
    hook, batch = BackboneHook(where_needed=True), {**make_models(), **make_batch()}
    assert hook(batch)[0] == {}
    assert hook(batch | {"src_imgs_input": batch["src_imgs"]})[0].keys() == {"src_imgs_features"}
    masked = {**batch, "G": WithMask(), "target_imgs_mask": torch.ones(8, 6)}
    assert hook(masked)[0].keys() == set(hook.out_keys) == {"target_imgs_features"}


@pytest.mark.parametrize("name", ["DMSRL", "DANN", "Classifier"])
def test_every_pass_of_a_step_has_the_other_inputs(name):
    """Also the pass of target images without augmentation, where the rows are those of the images."""

    class OnImages(WithMask):
        def forward(self, x, mask=None):
            self.seen.append((len(x), mask))
            return self.net(x.flatten(1)[:, :6])

    torch.manual_seed(0)
    network, recipe = OnImages(), DEFAULT.replace("consistency", probability=0.8)
    parts = dmsrl_components(DIM, CLASSES, NUM_TARGET, recipe)
    batch = make_images()
    masks = {f"{domain}_imgs_mask": torch.arange(8.0) + 10 * (domain == "src") for domain in ("src", "target")}
    if name == "DMSRL":
        adapter = DMSRL.of(network, nn.Linear(DIM, CLASSES), parts)
    else:
        models = {"G": network, "C": nn.Linear(DIM, CLASSES), **({"D": make_discriminator()} if name == "DANN" else {})}
        adapter = attach_dmsrl(getattr(adapters, name)(models=Models(models)), parts)
    adapter.training_step({**batch, **masks})
    assert [size for size, _ in network.seen[:2]] == [8, 8]
    assert len(network.seen) == 3
    for (size, mask), domain in zip(network.seen, ("src", "target", "target"), strict=True):
        assert mask is not None and len(mask) == size <= 8
        assert set(mask.tolist()) <= set(masks[f"{domain}_imgs_mask"].tolist())
    assert network.seen[2][0] < 8


@pytest.mark.parametrize("name", ["MCD", "ADDA", "Finetuner"])
def test_a_host_that_would_drop_the_other_inputs_refuses_them(name):
    adapter = attach(make_adapter(TABLE[name]), None)
    adapter.models["G"] = WithMask()
    with pytest.raises(ValueError, match=rf"{name}Hook calls G with images only, got \['mask'\] too"):
        adapter.training_step({**host_batch(), "target_imgs_mask": torch.ones(8, 6)})


def test_inference_passes_other_inputs_on():
    network = WithMask()
    adapter = DMSRL.of(network, nn.Linear(DIM, CLASSES), dmsrl_components(DIM, CLASSES, NUM_TARGET))
    x, mask = torch.randn(8, 6), torch.rand(8, 6)
    outputs = adapter.inference(x, mask=mask)
    assert torch.equal(outputs["features"], network.net(x * mask))
    assert torch.equal(outputs["logits"], adapter.models["C"](outputs["features"]))
    assert torch.equal(adapter.inference(x, domain=1)["features"], network.net(x))


def test_a_network_that_was_traced_or_scripted_trains():
    network = nn.Sequential(nn.Linear(6, DIM), nn.Tanh())
    for made in (torch.jit.trace(network, torch.zeros(2, 6)), torch.jit.script(network)):
        adapter = DMSRL.of(made, nn.Linear(DIM, CLASSES), dmsrl_components(DIM, CLASSES, NUM_TARGET))
        assert adapter.training_step(make_batch())["total_loss"]["total"] > 0


class Scripted(nn.Module):
    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return x * mask


class OwnModule(nn.Module):
    """A network with a part of the name by which wrappers call theirs."""

    def __init__(self):
        super().__init__()
        self.module = nn.Linear(6, DIM)

    def forward(self, x, mask=None):
        return self.module(x)


class Keywords(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.base_model = inner

    def forward(self, x, **kwargs):
        return self.base_model(x, **kwargs)


@pytest.mark.parametrize(
    ("network", "arguments"),
    [
        (nn.Linear(6, DIM), ()),
        (WithMask(), ("mask", "scale")),
        (Wrapper(Wrapper(WithMask())), ("mask", "scale")),
        (Keywords(WithMask()), ("mask", "scale")),
        (torch.optim.swa_utils.AveragedModel(WithMask()), ("mask", "scale")),
        (OwnModule(), ("mask",)),
        (torch.jit.script(Scripted()), ("mask",)),
    ],
    ids=lambda one: type(one).__name__,
)
def test_arguments_of_networks_and_of_those_in_wrappers(network, arguments):
    assert arguments_of(network) == arguments


def test_what_is_no_row_of_an_image_is_passed_on_unchanged():
    network = WithMask()
    more = {"target_imgs_mask": torch.rand(8, 6), "target_imgs_scale": [1, 2]}
    run_backbone_on_rows(None, {"G": network, **make_batch(), **more}, "target", torch.tensor([5, 2]))
    (mask, scale, _) = network.seen[0]
    assert torch.equal(mask, more["target_imgs_mask"][[5, 2]])
    assert scale == [1, 2]


def test_landmarks_for_a_network_that_takes_none_are_an_error():
    with pytest.raises(TypeError, match="src_imgs_landmarks needs a G whose forward takes landmarks, got Counted"):
        BackboneHook()({**make_models(), **make_batch(), "src_imgs_landmarks": torch.rand(8, 5, 2)})
