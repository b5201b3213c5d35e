"""Time ratios: of a training step to DANN's, also without each part, and of `MultiLevelBackbone` to the bare network.

Everything is timed in turn, so that noise of the machine affects all.
"""

import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from dmsrl_adapt import DEFAULT, MultiLevelBackbone, keys
from dmsrl_adapt.trainer.devices import make_fabric, place

from .methods import Setup, get_method
from .methods.dmsrl import of_recipe
from .methods.method import Method
from .provenance import commit, versions
from .results import write_whole

METHODS = ("dann", "source_only", "mcd", "mcc", "dmsrl", "dmsrl_published")
BARE = "bare"
WRAPPED: dict[str, dict[str, Any]] = {
    "global": {"local": None},
    "corners": {},
    "grid 2 x 2, max": {"local": (2, 2), "local_pool": "max"},
    "landmarks": {"local": "landmarks"},
    "corners, three depths, norm": {"levels": (1, 2, -1), "fuse": "norm"},
}
# what is measured, and its baseline
BASELINES = {"step": METHODS[0], "parts": METHODS[0], "backbone": BARE}
VECTORS = "vectors"  # in place of a network: feature vectors of `size` numbers
NETWORK = "resnet18"
NUM_CLASSES, NUM_TARGET, WARM_UP = 7, 10_000, 3

Steps = Mapping[str, Callable[[], object]]


def measured_methods(part: str) -> list[Method]:
    """Returns the methods whose steps are timed; for "parts" the default recipe, and the same without each part."""
    if part == "step":
        return [get_method(name) for name in METHODS]
    kinds = [kind for kind in DEFAULT.kinds if kind != "classification"]
    without = [of_recipe(f"dmsrl without {kind}", DEFAULT.without(kind)) for kind in kinds]
    return [get_method(METHODS[0]), get_method("dmsrl"), *without]


def method_steps(network: str, size: int, batch_size: int, device: torch.device, methods: Sequence[Method]) -> Steps:
    """Returns a training step of each method, on random inputs of each domain.

    These are images (batch_size, 3, size, size), or for the network `VECTORS` rows (batch_size, size).
    """
    shape = (size,) if network == VECTORS else (3, size, size)
    setup = Setup(shape, NUM_CLASSES, NUM_TARGET, steps=1000, network=network)
    images = torch.randn(2, batch_size, *shape, device=device)
    batch = {
        keys.imgs(keys.SRC): images[0],
        keys.SRC_LABELS: torch.randint(NUM_CLASSES, (batch_size,), device=device),
        keys.domain_id(keys.SRC): torch.zeros(batch_size, device=device),
        "src_sample_idx": torch.arange(batch_size, device=device),
        keys.imgs(keys.TARGET): images[1],
        keys.domain_id(keys.TARGET): torch.ones(batch_size, device=device),
        keys.TARGET_SAMPLE_IDX: torch.arange(batch_size, device=device),
    }

    def step_of(method: Method) -> Callable[[], object]:
        adapter = method.build(setup, method.settings).adapter
        place(adapter, make_fabric(accelerator=device.type))
        return lambda: adapter.training_step(dict(batch))

    return {method.name: step_of(method) for method in methods}


def backbone_steps(network: str, size: int, batch_size: int, device: torch.device) -> Steps:
    """Returns a forward and backward pass of the bare network and of each wrapper around it, on noise."""
    images = torch.randn(batch_size, 3, size, size, device=device)

    def step_of(net: nn.Module) -> Callable[[], object]:
        net = net.to(device).train()

        def step() -> None:
            net.zero_grad()
            features: Tensor = net(images)
            features.sum().backward()

        return step

    wrapped = {name: step_of(MultiLevelBackbone(network, **settings)) for name, settings in WRAPPED.items()}
    return {BARE: step_of(timm.create_model(network, num_classes=0)), **wrapped}


def step_times(steps: Steps, rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Returns the seconds of each call, by name, after a few warm-up rounds; a round calls each step once."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for count in range(WARM_UP + rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if count >= WARM_UP:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratios(seconds: dict[str, list[float]], baseline: str) -> dict[str, float]:
    """Returns by name the median over rounds of its time divided by the baseline's in the same round."""
    base = seconds[baseline]
    return {name: statistics.median(a / b for a, b in zip(own, base, strict=True)) for name, own in seconds.items()}


def write_speed(folder: Path, part: str, network: str, size: int, batch_size: int, rounds: int) -> dict[str, Any]:
    """Measures a part of `BASELINES`, writes the result into a folder, and returns it.

    The file is `speed-{device}.json` for a step, with the names of another part or network in it, as in
    `speed-parts-small-cpu.json`.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    given = network, size, batch_size, device
    steps = backbone_steps(*given) if part == "backbone" else method_steps(*given, measured_methods(part))
    seconds = step_times(steps, rounds, device)
    result = {
        "baseline": BASELINES[part],
        "ratio": ratios(seconds, BASELINES[part]),
        "median_seconds": {name: statistics.median(own) for name, own in seconds.items()},
        "settings": {"network": network, "size": size, "batch_size": batch_size, "rounds": rounds},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "commit": commit(),
    }
    stem = "-".join(["speed", *[part] * (part != "step"), *[network] * (network != NETWORK)])
    write_whole(folder / f"{stem}-{device.type}.json", result)
    return result


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """Returns what a file of step times holds as a table, the fastest first."""
    ordered = sorted(result["ratio"].items(), key=lambda item: item[1])
    table = [["measured", f"time / {result['baseline']}"], *([name, f"{ratio:.3f}"] for name, ratio in ordered)]
    whole, prefix = result["ratio"].get("dmsrl"), "dmsrl without "
    if not any(name.startswith(prefix) for name, _ in ordered):
        return table
    shares = {name: f"{whole - ratio:+.3f}" for name, ratio in ordered if name.startswith(prefix)}
    return [
        [*row, share]
        for row, share in zip(table, ["part's share", *(shares.get(row[0], "-") for row in table[1:])], strict=True)
    ]
