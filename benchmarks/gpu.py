"""What a GPU has to show: its tests, a step without waits, ratios to DANN, and labelling a million samples.

`sh benchmarks/gpu.sh` runs it. Without a GPU the same code runs on the CPU with small sizes, as a rehearsal; such times
say nothing about a GPU.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from dmsrl_adapt import checks
from dmsrl_adapt.hooks import weighters

from .methods import get_method
from .provenance import commit, versions
from .results import write_whole
from .speed import method_steps, ratios, step_times
from .speed_labeler import ARGMAX, OURS, Point, Problem, in_turn

COMPARED = ("dann", "dmsrl", "dmsrl_published")
# network, side in pixels, images of each domain
STEPS = {"cuda": [("resnet18", 64, 32), ("resnet50", 224, 32)], "cpu": [("resnet18", 32, 4)]}
PASSES = {"cuda": Point(samples=1_000_000), "cpu": Point(samples=2_000, dim=16, prototypes=10)}
ROUNDS = {"cuda": 20, "cpu": 1}


def main(arguments: list[str] | None = None) -> int:
    """Runs all measurements and writes `speed-gpu.json`, without a GPU `speed-gpu-rehearsal.json`."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    options.add_argument("--out", type=Path, default=Path("benchmark_results"), help="folder of the result")
    options.add_argument("--no-tests", action="store_true", help="leave out the tests marked gpu")
    given = options.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tests = None if given.no_tests else run_tests()
    result = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "none, rehearsed on the CPU",
        "tests": tests,
        "step_without_waits": steps_without_waits(device),
        "ratio_to_dann": step_ratios(device),
        "labelling": labelling(device),
        "versions": versions(),
        "commit": commit(),
    }
    name = "speed-gpu.json" if device.type == "cuda" else "speed-gpu-rehearsal.json"
    write_whole(given.out / name, result)
    print(f"wrote {given.out / name}")
    return int(tests not in (None, 0))


def run_tests() -> int:
    """Runs the tests marked gpu; returns the exit status."""
    return subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests"], check=False).returncode


@contextmanager
def waits_refused(device: torch.device) -> Iterator[None]:
    """Raises for every wait for a GPU within the block, but for the two reads of a step: of its checks and losses."""
    if device.type != "cuda":
        yield
        return

    def allowed(read: Callable[..., Any]) -> Callable[..., Any]:
        def reading(*args: Any) -> Any:
            torch.cuda.set_sync_debug_mode("default")
            try:
                return read(*args)
            finally:
                torch.cuda.set_sync_debug_mode("error")

        return reading

    reads = ((checks, "read_numbers"), (weighters, "as_numbers"))
    patches = [mock.patch.object(module, name, allowed(getattr(module, name))) for module, name in reads]
    torch.cuda.set_sync_debug_mode("error")
    try:
        with patches[0], patches[1]:
            yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def steps_without_waits(device: torch.device) -> dict[str, bool]:
    """Returns that a step of each recipe has run without another wait; raises where one has waited."""
    found = {}
    methods = [get_method(name) for name in COMPARED[1:]]
    for name, step in method_steps("small", 32, 32, device, methods).items():
        for _ in range(5):  # what is known on the host once all classes were seen
            step()
        with waits_refused(device):
            step()
        found[name] = device.type == "cuda"
    return found


def step_ratios(device: torch.device) -> list[dict[str, Any]]:
    """Returns the time of a step relative to DANN's, in float32 and under bfloat16 autocast."""
    found = []
    methods = [get_method(name) for name in COMPARED]
    for network, size, batch_size in STEPS[device.type]:
        for dtype in (torch.float32, torch.bfloat16):
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                seconds = step_times(
                    method_steps(network, size, batch_size, device, methods), ROUNDS[device.type], device
                )
            one = {"network": network, "size": size, "batch_size": batch_size, "dtype": str(dtype)}
            found.append({**one, "ratio": ratios(seconds, COMPARED[0])})
    return found


def labelling(device: torch.device) -> dict[str, Any]:
    """Returns the time of the labeler's pass relative to a matrix product with argmax."""
    point = PASSES[device.type]
    passes = {name: action for name, action in Problem(point, device).passes().items() if name in (OURS, ARGMAX)}
    in_turn(passes, 1, device)
    seconds = in_turn(passes, 3, device)
    return {"samples": point.samples, "over_argmax": ratios(seconds, ARGMAX)[OURS]}


if __name__ == "__main__":
    sys.exit(main())
