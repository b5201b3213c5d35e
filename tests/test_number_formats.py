"""Modules of other floating point types, other default types, autocast: steps are taken, and state stays exact."""

import copy
from contextlib import contextmanager

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from dmsrl_adapt import DMSRL, MultiLevelBackbone, attach_dmsrl, dmsrl_components
from dmsrl_adapt.augment import RandomAffine, RandomConvolution
from dmsrl_adapt.frameworks.lightning import LightningAdapter
from dmsrl_adapt.labelers import PrototypeLabeler
from dmsrl_adapt.losses import (
    AdversarialMILoss,
    CLUBLoss,
    CosineMarginLoss,
    DomainBranch,
    MarginDisparityLoss,
    MarginMetricLoss,
)
from dmsrl_adapt.parts import TwoBranchMI
from dmsrl_adapt.precision import PreciseBuffers, in_float32
from dmsrl_adapt.recipe import DEFAULT

from .hooks.host_table import HOSTS, host_batch, make_adapter
from .stand_ins import CLASSES, DIM, NUM_TARGET, make_batch, make_models

TYPES = [torch.bfloat16, torch.float16, torch.float64]
RECIPES = {
    "default": "default",
    "published": "published",
    "two branches": DEFAULT.replace(TwoBranchMI(weight=0.1)),
    "neighbours": "default",
}
every_type = pytest.mark.parametrize("dtype", TYPES, ids=str)


@contextmanager
def default_type(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def of_type(batch, dtype):
    return {key: x.to(dtype) if x.is_floating_point() else x for key, x in batch.items()}


def turned(adapter, dtype):
    """The adapter with all modules turned, and SGD: torch's Adam divides by an epsilon that is 0 in float16."""
    for module in [*adapter.models.values(), *adapter.misc.values()]:
        module.to(dtype)
    return adapter


def check_steps(adapter, batches):
    """Takes steps, and looks at losses, gradients and state."""
    step = adapter.misc["training_progress"].step
    for batch in batches:
        losses = adapter.training_step(batch)
        assert all(torch.isfinite(torch.as_tensor(x)) for of_step in losses.values() for x in of_step.values())
    for name, module in adapter.models.items():
        assert all(one.isfinite().all() for one in module.parameters()), name
    ours = {"pseudo_labeler", "source_accuracy", "training_progress"}
    for name, module in ((name, adapter.misc[name]) for name in sorted(ours & adapter.misc.keys())):
        for key, one in module.named_buffers():
            assert not one.is_floating_point() or one.dtype == torch.float32, f"{name}.{key}"
    assert adapter.misc["training_progress"].step == step + len(batches)
    labels = getattr(adapter.misc["pseudo_labeler"], "labels", None)
    assert labels is None or labels.dtype == torch.int32


def make_dmsrl(recipe):
    parts = dmsrl_components(DIM, CLASSES, NUM_TARGET, RECIPES[recipe])
    if recipe == "neighbours":
        parts.misc["pseudo_labeler"] = PrototypeLabeler(CLASSES, DIM, NUM_TARGET, prototypes_per_class=2, neighbours=3)
    adapter = DMSRL.of(make_models()["G"], make_models()["C"], parts)
    for name, optimizer in adapter.optimizers.items():
        adapter.optimizers[name] = torch.optim.SGD(optimizer.param_groups[0]["params"], lr=0.01)
    return adapter


@every_type
@pytest.mark.parametrize("recipe", RECIPES)
def test_modules_of_another_type_train(recipe, dtype):
    adapter = turned(make_dmsrl(recipe), dtype)
    check_steps(adapter, [of_type(make_batch(seed), dtype) for seed in range(3)])
    assert {one.dtype for model in adapter.models.values() for one in model.parameters()} == {dtype}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("recipe", RECIPES)
def test_everything_made_under_another_default_type_trains(recipe, dtype):
    with default_type(dtype):
        check_steps(make_dmsrl(recipe), [of_type(make_batch(seed), dtype) for seed in range(3)])


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_default_type_may_be_another_in_the_steps_alone(recipe):
    """As Lightning has it in its true half precision."""
    adapter = turned(make_dmsrl(recipe), torch.bfloat16)
    with default_type(torch.bfloat16):
        check_steps(adapter, [of_type(make_batch(seed), torch.bfloat16) for seed in range(3)])


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_trains(recipe, dtype):
    with torch.autocast("cpu", dtype=dtype):
        check_steps(make_dmsrl(recipe), [make_batch(seed) for seed in range(3)])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("host", ["DANN", "MCD", "CDAN", "Classifier"])
def test_hosts_of_another_type_train(host, dtype):
    adapter = attach_dmsrl(make_adapter(HOSTS[host]), dmsrl_components(DIM, CLASSES, NUM_TARGET))
    turned(adapter, dtype)
    check_steps(adapter, [of_type(host_batch(seed=seed), dtype) for seed in range(3)])


@pytest.mark.parametrize(("precision", "dtype"), [("bf16-true", torch.bfloat16), ("64-true", torch.float64)])
def test_true_precisions_of_lightning(precision, dtype):
    module = LightningAdapter(make_dmsrl("default"))
    off = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    trainer = lightning.Trainer(accelerator="cpu", max_epochs=1, precision=precision, **off)
    trainer.fit(module, DataLoader([make_batch(seed) for seed in range(3)], batch_size=None))
    adapter = module.adapter
    assert next(adapter.models["G"].parameters()).dtype == dtype
    assert adapter.misc["pseudo_labeler"].prototypes.dtype == torch.float32
    assert adapter.misc["training_progress"].step == 3


K, D, N = 3, 4, 12
LABELS, DOMAINS = torch.arange(N) % K, torch.arange(N) // (N // 2)
LOSSES = {
    "cosine": (lambda: CosineMarginLoss(K, D), lambda loss, x: loss(x, LABELS, DOMAINS)),
    "centers": (lambda: MarginMetricLoss(K, D), lambda loss, x: loss(x, LABELS, DOMAINS)),
    "disparity": (lambda: MarginDisparityLoss(K, D), lambda loss, x: loss(x, LABELS, DOMAINS)),
    "mi": (lambda: AdversarialMILoss(D), lambda loss, x: loss(x, DOMAINS)),
    "mi of classes": (lambda: AdversarialMILoss(D, K), lambda loss, x: loss(x, DOMAINS, torch.eye(K)[LABELS].to(x))),
    "club": (lambda: CLUBLoss(D, D), lambda loss, x: sum(loss(x, x.flip(0)))),
    "branch": (lambda: DomainBranch(D), lambda loss, x: loss(x, DOMAINS).loss),
}


@every_type
@pytest.mark.parametrize(("make", "call"), LOSSES.values(), ids=LOSSES)
def test_a_turned_loss_is_that_of_its_parameters_in_float32(make, call, dtype):
    loss, features = make().to(dtype), torch.randn(N, D).to(dtype)
    same = copy.deepcopy(loss).float()
    torch.manual_seed(0)
    value = call(loss, features)
    torch.manual_seed(0)
    assert value.dtype == torch.float32 and torch.equal(value, call(same, features.float()))
    value.backward()
    assert all(one.grad.dtype == dtype for one in loss.parameters())


@every_type
def test_running_means_move_and_counts_count_where_16_bits_would_stand_still(dtype):
    labeler = PrototypeLabeler(2, 3, 10, momentum=0.999).to(dtype)
    plain = PrototypeLabeler(2, 3, 10, momentum=0.999)
    for step in range(20):
        rows = torch.randn(8, 3, dtype=torch.float32, generator=torch.Generator().manual_seed(step)).to(dtype)
        for one, default in ((labeler, dtype), (plain, torch.float32)):
            with default_type(default):
                one.update(rows.float(), torch.arange(8) % 2)
                one(rows.float(), torch.arange(8))
    for key, value in plain.state_dict().items():
        assert torch.equal(labeler.state_dict()[key], value), key
    loaded = PrototypeLabeler(2, 3, 10).to(dtype)
    loaded.load_state_dict(plain.state_dict())
    assert torch.equal(loaded.prototypes, plain.prototypes)


def test_buffers_keep_their_type_and_follow_to_a_device():
    module = nn.Sequential(PreciseBuffers())
    module[0].register_buffer("mean", torch.full((2,), 1 / 3))
    module[0].register_buffer("count", torch.tensor(3))
    module[0].weight = nn.Parameter(torch.ones(2))
    for turn in (nn.Module.half, nn.Module.bfloat16, nn.Module.double, nn.Module.float):
        turn(module)
        assert torch.equal(module[0].mean, torch.full((2,), 1 / 3)) and module[0].count == 3
    assert module.half()[0].weight.dtype == torch.float16
    assert module.to("meta", torch.bfloat16)[0].mean.is_meta and module[0].mean.dtype == torch.float32


def test_a_network_in_float32_is_the_network_itself():
    net, x = nn.Linear(2, 3), torch.randn(4, 2)
    assert torch.equal(in_float32(net, x), net(x))
    calls = []
    net.register_forward_hook(lambda *_: calls.append(1))
    in_float32(net, x)
    assert calls == [1]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("local", ["corners", (2, 2), "landmarks"])
def test_backbones_and_augmentation_of_another_type(local, dtype):
    x, points = torch.randn(4, 3, 64, 64).to(dtype), torch.rand(4, 5, 2)
    for default in (torch.float32, dtype):
        with default_type(default):
            G = MultiLevelBackbone("resnet10t", local=local, global_pool="gem", fuse="norm").to(dtype)
            fused = G(x, landmarks=points.to(default))
            assert fused.dtype == dtype and fused.isfinite().all()
            for augment in (RandomAffine(), RandomConvolution()):
                assert augment(x).dtype == dtype and augment(x).isfinite().all()


def test_an_images_step_under_another_default_type():
    with default_type(torch.float64):
        parts = dmsrl_components(DIM, CLASSES, NUM_TARGET)
        G = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, DIM))
        adapter = DMSRL.of(G, nn.Linear(DIM, CLASSES), parts)
        images = {key: torch.randn(8, 3, 8, 8) for key in ("src_imgs", "target_imgs")}
        check_steps(adapter, [{**make_batch(seed), **images} for seed in range(3)])
