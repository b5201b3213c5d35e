"""Time ratios: of a training step to DANN's, and of `MultiLevelBackbone` to the bare network with global pooling.

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

from dmsrl_adapt import MultiLevelBackbone, keys
from dmsrl_adapt.trainer.devices import make_fabric, place

from .methods import Setup, get_method
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
BASELINES = {"step": METHODS[0], "backbone": BARE}
NUM_CLASSES, NUM_TARGET, WARM_UP = 7, 10_000, 3

Steps = Mapping[str, Callable[[], object]]


def method_steps(network: str, size: int, batch_size: int, device: torch.device, methods: Sequence[str]) -> Steps:
    """Returns a training step of each method, on random images (batch_size, 3, size, size) of each domain."""
    setup = Setup((3, size, size), NUM_CLASSES, NUM_TARGET, steps=1000, network=network)
    images = torch.randn(2, batch_size, 3, size, size, device=device)
    batch = {
        keys.imgs(keys.SRC): images[0],
        keys.SRC_LABELS: torch.randint(NUM_CLASSES, (batch_size,), device=device),
        keys.domain_id(keys.SRC): torch.zeros(batch_size, device=device),
        "src_sample_idx": torch.arange(batch_size, device=device),
        keys.imgs(keys.TARGET): images[1],
        keys.domain_id(keys.TARGET): torch.ones(batch_size, device=device),
        keys.TARGET_SAMPLE_IDX: torch.arange(batch_size, device=device),
    }

    def step_of(name: str) -> Callable[[], object]:
        method = get_method(name)
        adapter = method.build(setup, method.settings).adapter
        place(adapter, make_fabric(accelerator=device.type))
        return lambda: adapter.training_step(dict(batch))

    return {name: step_of(name) for name in methods}


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
    """Measures a part of `BASELINES`, writes `speed-{device}.json`, for the backbone `speed-backbone-{device}.json`,
    into a folder, and returns what it wrote."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    given = network, size, batch_size, device
    seconds = step_times(method_steps(*given, METHODS) if part == "step" else backbone_steps(*given), rounds, device)
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
    stem = "speed" if part == "step" else f"speed-{part}"
    write_whole(folder / f"{stem}-{device.type}.json", result)
    return result


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """Returns what a file of step times holds as a table, the fastest first."""
    ordered = sorted(result["ratio"].items(), key=lambda item: item[1])
    return [["measured", f"time / {result['baseline']}"], *([name, f"{ratio:.3f}"] for name, ratio in ordered)]
