"""A long run on the embedded task in any precision: memory, time per step, threads and file handles, accuracy."""

import json
import math
import os
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_adapt.adapters import BaseAdapter
from torch import Tensor

from dmsrl_adapt.trainer.devices import make_fabric
from dmsrl_adapt.trainer.loop import training_steps
from dmsrl_adapt.trainer.peak_memory import MEGABYTE, bytes_of_process

from .methods import get_method
from .provenance import STALE, commit, made_by, versions
from .results import write_whole
from .tasks import DataPlace, load_task
from .training import Plan, accuracies, batches, infer, setup_of

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
EVERY = 200  # steps between measurements of memory
SETTLED = 1000  # steps after which memory and time must be constant


def endure(steps: int, precision: str = "float32", seed: int = 0, method: str = "dmsrl") -> dict[str, Any]:
    """Trains for a number of steps, at least 1, and returns the measurements as in the result file.

    Float16 uses a `GradScaler`, as on a GPU. Memory is the resident memory of the process in MiB, which needs /proc.
    The time of a step is processor time in seconds, so that other load on the machine does not count.
    """
    torch.manual_seed(seed)
    np.random.seed(seed)
    task, chosen = load_task("embedded", DataPlace()), get_method(method)
    plan = Plan(steps=steps)
    adapter = chosen.build(setup_of(task, plan), chosen.settings).adapter
    adapter.models.train()
    backward = scaled_backward(adapter) if precision == "float16" else None
    before, memory, seconds, is_finite = open_things(), {}, [], True
    drawn = batches(task, plan.batch_size, chosen.is_supervised, seed)
    # Fabric has no float16 on the CPU
    with torch.autocast("cpu", dtype=PRECISIONS[precision], enabled=precision != "float32"):
        fabric = make_fabric(accelerator="cpu")
        for step in training_steps(adapter, drawn, steps, fabric, backward=backward, clock=time.process_time):
            seconds.append(step.seconds)
            is_finite &= all(math.isfinite(loss) for parts in step.losses.values() for loss in parts.values())
            if step.number % EVERY == 0:
                memory[step.number] = bytes_of_process("VmRSS") / MEGABYTE
    predicted = infer(adapter, task.target_test.inputs, 1)["logits"].argmax(1)
    return {
        "task": task.name,
        "method": method,
        "steps": steps,
        "precision": precision,
        "seed": seed,
        "accuracy": accuracies(task.target_test.labels, predicted)["accuracy"],
        "losses_are_finite": is_finite,
        "memory_mib": memory,
        "memory_growth": growth([mib for step, mib in memory.items() if step >= SETTLED]),
        "seconds_per_step": [statistics.median(seconds[i : i + SETTLED]) for i in range(0, steps, SETTLED)],
        "threads_and_handles": {"before": before, "after": open_things()},
        "versions": versions(),
        "commit": commit(),
    }


def scaled_backward(adapter: BaseAdapter) -> Callable[[Tensor], None]:
    """Returns a backward pass with loss scaling; if the scaled gradients overflow, the step changes nothing."""
    scaler = torch.amp.GradScaler("cpu")

    def backward(loss: Tensor) -> None:
        scale = scaler.get_scale()
        scaler.scale(loss).backward()
        for optimizer in adapter.optimizers.values():
            scaler.unscale_(optimizer)
        scaler.update()
        if scaler.get_scale() < scale:
            adapter.models.zero_grad()

    return backward


def growth(mib: list[float]) -> float | None:
    """Returns the relative growth from the first to the largest value; None for an empty list."""
    return max(mib) / mib[0] - 1 if mib else None


def open_things() -> dict[str, int]:
    """Returns the numbers of Python threads, of all threads and of open files."""
    tasks, files = (len(os.listdir(f"/proc/self/{name}")) for name in ("task", "fd"))
    return {"python_threads": threading.active_count(), "threads": tasks, "files": files}


def write_endurance(folder: Path, steps: int, precision: str, seed: int) -> dict[str, Any]:
    """Trains, writes the result into `endurance.json` in a folder, in place of one of the same kind, and returns it."""
    result, path = endure(steps, precision, seed), folder / "endurance.json"
    runs = json.loads(path.read_text())["runs"] if path.is_file() else []
    kind = ("precision", "steps", "seed")
    others = [run for run in runs if any(run[key] != result[key] for key in kind)]
    made = {"versions": result["versions"], "commit": result["commit"]}
    write_whole(path, {"runs": sorted([*others, result], key=lambda run: [run[key] for key in kind]), **made})
    return result


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """Returns the content of `endurance.json` as a table, one row per run."""
    head = ["precision", "steps", "seed", "accuracy, %", "losses finite", "memory growth", "last / first 1,000 steps"]
    table = [head]
    for run in result["runs"]:
        seconds, growth = run["seconds_per_step"], run["memory_growth"]
        grown = "-" if growth is None else f"{100 * growth:.1f} %"
        cells = [f"{100 * run['accuracy']:.1f}", "yes" if run["losses_are_finite"] else "no", grown]
        stale = f" {STALE}" if made_by(run) != made_by(result) else ""
        kind = [run["precision"] + stale, f"{run['steps']:,}", str(run["seed"])]
        table.append([*kind, *cells, f"{seconds[-1] / seconds[0]:.2f}"])
    return table
