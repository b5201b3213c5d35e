"""Time of a training step as a ratio to DANN's, all methods in turn, so that a noisy machine is noisy for all."""

import json
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from .methods import Setup, get_method
from .results import commit, versions
from .training import to_device

BASELINE = "dann"
METHODS = (BASELINE, "source_only", "mcd", "mcc", "dmsrl", "dmsrl-local", "dmsrl_published")
NUM_CLASSES, NUM_TARGET, WARM_UP = 7, 10_000, 3


def step_times(
    network: str, size: int, batch_size: int, rounds: int, device: torch.device, methods: Sequence[str] = METHODS
) -> dict[str, list[float]]:
    """Gives seconds of every counted step by method, on random images (batch_size, 3, size, size) of each domain."""
    setup = Setup((3, size, size), NUM_CLASSES, NUM_TARGET, steps=1000, network=network)
    adapters = {}
    for name in methods:
        method = get_method(name)
        adapters[name] = method.build(setup, method.settings).adapter
        to_device(adapters[name], device)
    images = torch.randn(2, batch_size, 3, size, size, device=device)
    batch = {
        "src_imgs": images[0],
        "src_labels": torch.randint(NUM_CLASSES, (batch_size,), device=device),
        "src_domain": torch.zeros(batch_size, device=device),
        "src_sample_idx": torch.arange(batch_size, device=device),
        "target_imgs": images[1],
        "target_domain": torch.ones(batch_size, device=device),
        "target_sample_idx": torch.arange(batch_size, device=device),
    }
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for count in range(WARM_UP + rounds):
        for name, adapter in adapters.items():
            start = time.perf_counter()
            adapter.training_step(dict(batch))
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if count >= WARM_UP:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratios(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Gives a method's median over rounds of its step's time divided by DANN's of the same round."""
    base = seconds[BASELINE]
    return {name: statistics.median(a / b for a, b in zip(own, base, strict=True)) for name, own in seconds.items()}


def write_speed(folder: Path, network: str, size: int, batch_size: int, rounds: int) -> dict[str, float]:
    """Measures, writes `speed-{device}.json` into a folder and gives the ratios."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    seconds = step_times(network, size, batch_size, rounds, device)
    ratio = ratios(seconds)
    result = {
        "baseline": BASELINE,
        "ratio": ratio,
        "median_seconds": {name: statistics.median(own) for name, own in seconds.items()},
        "settings": {"network": network, "size": size, "batch_size": batch_size, "rounds": rounds},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "commit": commit(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"speed-{device.type}.json").write_text(json.dumps(result, indent=1) + "\n")
    return ratio
