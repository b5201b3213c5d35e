"""Networks and loops as users have them, with the whole method and with hosts that have parts of it.

docs/own_models.md tells how.
"""

import copy

import pytest
import torch
from pytorch_adapt.adapters import DANN, MCD
from pytorch_adapt.containers import Misc, Models, Optimizers
from pytorch_adapt.layers import MultipleModels
from pytorch_adapt.utils.common_functions import reinit
from torch import nn

from dmsrl_adapt import DMSRL, attach_dmsrl, dmsrl_components

from .stand_ins import CLASSES, NUM_TARGET, SIZE, assert_same_states, make_batch, make_opts, states

METHODS = ("dmsrl", "dann", "mcd")
SGD = ("G", "C")  # first among the models, and of every method by SGD
CHANNELS, WIDTH, RATE = 3, 6, 0.1


def make_trunk():
    """Images to vectors, with batch statistics of maps."""
    conv = nn.Conv2d(CHANNELS, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, WIDTH, 3, 2, 1)
    return nn.Sequential(*conv, nn.BatchNorm2d(WIDTH), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def make(method, G=None, C=None, dim=WIDTH, seed=0):
    """An adapter of the method with these networks; SGD, whose step is the gradient."""
    torch.manual_seed(seed)
    models = {"G": make_trunk() if G is None else G, "C": nn.Linear(dim, CLASSES) if C is None else C}
    parts = dmsrl_components(dim, CLASSES, NUM_TARGET, total_steps=10)
    optimizers = Optimizers((torch.optim.SGD, {"lr": RATE}))
    if method == "dmsrl":
        return DMSRL(models=Models({**models, **parts.models}), optimizers=optimizers, misc=Misc(parts.misc))
    models |= {"D": nn.Sequential(nn.Linear(dim, 1), nn.Flatten(0))} if method == "dann" else {}
    models |= {"C": MultipleModels(models["C"], reinit(copy.deepcopy(models["C"])))} if method == "mcd" else {}
    host = DANN if method == "dann" else MCD
    return attach_dmsrl(host(models=Models(models), optimizers=optimizers), parts)


def image_batch(size=SIZE, seed=0):
    batch = {key: values[:size] for key, values in make_batch(seed).items()}
    generator = torch.Generator().manual_seed(seed)
    images = {f"{d}_imgs": torch.randn(size, CHANNELS, 8, 8, generator=generator) for d in ("src", "target")}
    return {**batch, **images}


def train(adapter, batch, **kwargs):
    """A step with random numbers of its own; its losses."""
    torch.manual_seed(5)
    losses = adapter.training_step(batch, **kwargs)
    assert torch.tensor([x for parts in losses.values() for x in parts.values()]).isfinite().all()
    return losses


def moved(before, adapter):
    """Keys of the models of which a number has changed."""
    after = states(dict(adapter.models))
    return {key.split(".")[0] for key, value in after.items() if not torch.equal(value, before[key])}


@pytest.mark.parametrize("method", METHODS)
def test_feature_size_that_is_asked_of_a_lazy_network(method):
    G = nn.Sequential(nn.Flatten(), nn.LazyLinear(7), nn.BatchNorm1d(7))
    with torch.no_grad():
        dim = G.eval()(image_batch()["src_imgs"]).shape[1]
    assert (G[2].running_mean == 0).all()
    adapter = make(method, G.train(), dim=dim)
    before = states(dict(adapter.models))
    train(adapter, image_batch())
    assert {"G", "C", "margin_metric", "mi_critic"} <= moved(before, adapter)


def test_feature_size_that_is_wrong_is_told_and_the_labeler_stays_as_it_was():
    adapter = make("dmsrl", nn.Sequential(nn.Flatten(), nn.Linear(192, 7)), nn.Linear(7, CLASSES), dim=6)
    before = states(dict(adapter.misc))
    with pytest.raises(ValueError, match=r"features must have shape \(N, 6\), got \(8, 7\)"):
        adapter.training_step(image_batch())
    assert_same_states(states(dict(adapter.misc)), before)


@pytest.mark.parametrize("method", METHODS)
def test_classifier_of_several_layers(method):
    C = nn.Sequential(nn.Dropout(), nn.Linear(WIDTH, 5), nn.ReLU(), nn.Linear(5, CLASSES))
    adapter = make(method, C=C)
    before = states(dict(adapter.models))
    train(adapter, image_batch())
    assert {"G", "C", "margin_metric", "mi_critic"} <= moved(before, adapter)


@pytest.mark.parametrize("method", METHODS)
def test_frozen_backbone_below_a_trained_layer_keeps_weights_and_batch_statistics(method):
    trunk = make_trunk()
    trunk.requires_grad_(False).eval().train = lambda mode=True: trunk
    adapter = make(method, nn.Sequential(trunk, nn.Linear(WIDTH, WIDTH)))
    before, old = states({"trunk": trunk}), states(dict(adapter.models))
    for seed in range(2):
        adapter.models.train()
        train(adapter, image_batch(seed=seed))
    assert_same_states(states({"trunk": trunk}), before)
    assert "G" in moved(old, adapter)


@pytest.mark.parametrize("method", ["dmsrl", "dann"])
def test_backbone_that_is_frozen_as_a_whole(method):
    G = make_trunk().requires_grad_(False)
    adapter = make(method, G)
    before = states(dict(adapter.models))
    weights = [parameter.clone() for parameter in G.parameters()]
    train(adapter, image_batch())
    assert all(torch.equal(old, new) for old, new in zip(weights, G.parameters(), strict=True))
    assert {"C", "margin_metric", "mi_critic"} <= moved(before, adapter)


@pytest.mark.parametrize("method", METHODS)
def test_batch_of_one_with_batch_statistics_of_maps(method):
    adapter = make(method)
    before = states(dict(adapter.models))
    for seed in range(2):
        train(adapter, image_batch(1, seed))
    assert {"G", "C", "margin_metric", "mi_critic"} <= moved(before, adapter)
    assert all(value.isfinite().all() for value in states(dict(adapter.models)).values())


@pytest.mark.parametrize("method", METHODS)
def test_batch_of_one_that_batch_statistics_of_vectors_refuse_leaves_everything_as_it_was(method):
    G = nn.Sequential(nn.Flatten(), nn.Linear(192, WIDTH), nn.BatchNorm1d(WIDTH))
    adapter = make(method, G)
    before = states({**adapter.models, **adapter.misc})
    with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
        adapter.training_step(image_batch(1))
    after = states({**adapter.models, **adapter.misc})
    # torch has counted the batch before it looked at it
    counted = [key for key in before if key.endswith("num_batches_tracked")]
    assert_same_states({**after, **{key: before[key] for key in counted}}, before)


@pytest.mark.parametrize("method", METHODS)
def test_channels_last_gives_the_same_up_to_rounding(method):
    usual, last = make(method), make(method)
    last.models["G"].to(memory_format=torch.channels_last)
    is_image = lambda key: key in ("src_imgs", "target_imgs")  # noqa: E731
    batch = image_batch()
    other = {k: v.contiguous(memory_format=torch.channels_last) if is_image(k) else v for k, v in batch.items()}
    assert not other["src_imgs"].is_contiguous()
    losses = train(usual, batch), train(last, other)
    for step, parts in losses[0].items():
        assert losses[1][step] == pytest.approx(parts, rel=1e-4, abs=1e-5)
    tolerance = {"rtol": 1e-3, "atol": 1e-4}
    assert_same_states(states(dict(last.models)), states(dict(usual.models)), **tolerance)


@pytest.mark.parametrize("method", METHODS)
def test_gradient_clipping_bounds_every_step(method):
    adapter, plain, bound, norms = make(method), make(method), 1e-3, []
    parameters = [p for model in adapter.models.values() for p in model.parameters()]

    def clipped(loss):
        loss.backward()
        norms.append(nn.utils.clip_grad_norm_(parameters, bound).item())

    host = [p for key in SGD for p in adapter.models[key].parameters()]
    before = [p.clone() for p in host]
    losses = train(adapter, image_batch(), custom_backward=clipped)
    step = torch.cat([(new - old).flatten() for old, new in zip(before, host, strict=True)]).norm()
    assert max(norms) > 100 * bound
    assert 0 < step <= 1.01 * RATE * bound * len(norms)
    first = next(iter(losses))
    assert train(plain, image_batch())[first] == losses[first]


def scaled_backward(scaler, adapter, spoil=False):
    """The lines of docs/own_models.md."""

    def scaled(loss):
        scaler.scale(loss * float("inf") if spoil else loss).backward()
        for optimizer in adapter.optimizers.values():
            scaler.unscale_(optimizer)
        scale = scaler.get_scale()
        scaler.update()
        if scaler.get_scale() < scale:
            adapter.models.zero_grad()

    return scaled


@pytest.mark.parametrize("method", METHODS)
def test_scaled_gradients_take_the_step_of_plain_ones(method):
    plain, scaled = make(method), make(method)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    losses = train(plain, image_batch()), train(scaled, image_batch(), custom_backward=scaled_backward(scaler, scaled))
    assert losses[0] == losses[1]
    assert_same_states(states(dict(scaled.models)), states(dict(plain.models)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_mixed_precision_is_near_full_precision_and_overflow_leaves_weights_as_they_were(method):
    full, half = make(method), make(method)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    losses = [train(full, image_batch())]
    with torch.autocast("cpu", dtype=torch.float16, cache_enabled=False):
        losses.append(train(half, image_batch(), custom_backward=scaled_backward(scaler, half)))
    for step, parts in losses[0].items():
        assert losses[1][step] == pytest.approx(parts, rel=0.05, abs=0.05)
    weights = [p.clone() for model in half.models.values() for p in model.parameters()]
    with torch.autocast("cpu", dtype=torch.float16, cache_enabled=False):
        train(half, image_batch(seed=1), custom_backward=scaled_backward(scaler, half, spoil=True))
    assert scaler.get_scale() < 2.0**10
    after = [p for model in half.models.values() for p in model.parameters()]
    assert all(torch.equal(old, new) for old, new in zip(weights, after, strict=True))


@pytest.mark.parametrize("method", ["dmsrl", "dann"])
def test_accumulated_gradients_of_two_batches_are_one_step_by_their_mean(method):
    adapter, twin, grads = make(method), make(method), []
    parameters = [p for model in adapter.models.values() for p in model.parameters()]
    kept = {p: torch.zeros_like(p) for p in parameters}

    def accumulated(loss):
        (loss / 2).backward()
        for p, total in kept.items():
            total += 0 if p.grad is None else p.grad
            p.grad = total.clone() if len(grads) == 2 else None

    def seen(loss):
        loss.backward()
        grads.append([p.grad.clone() for key in SGD for p in twin.models[key].parameters()])

    twin.optimizers.update({key: make_opts({key: twin.models[key]}, lr=0.0)[0] for key in twin.models})
    old = [p.clone() for p in parameters]
    for seed in range(2):
        train(twin, image_batch(seed=seed), custom_backward=seen)
        train(adapter, image_batch(seed=seed), custom_backward=accumulated)
        assert all(torch.equal(a, b) for a, b in zip(old, parameters, strict=True)) == (seed == 0)
    assert adapter.misc["training_progress"].step == 2
    moved_by_sgd = [p for key in SGD for p in adapter.models[key].parameters()]
    for new, start, first, second in zip(moved_by_sgd, old, *grads, strict=False):
        torch.testing.assert_close(new, start - RATE * (first + second) / 2, rtol=1e-4, atol=1e-6)
