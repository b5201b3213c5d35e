"""Time and memory of pseudo labels by prototypes, against the numbers of samples, dimensions and prototypes.

Contenders are timed in turn, so that noise of the machine affects all. Features are precomputed: only the labelling is
measured.
"""

import json
import platform
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from pytorch_adapt.layers import NeighborhoodAggregation
from sklearn.neighbors import NearestCentroid
from torch import Tensor

from dmsrl_adapt import PrototypeLabeler
from dmsrl_adapt.labelers.faiss_search import PRODUCT_CELLS, PRODUCT_QUERIES, product_rows, search_rows
from dmsrl_adapt.trainer.peak_memory import bytes_of_process, start_peak_memory

from .figures import plain, save
from .methods import get_method
from .provenance import commit, versions
from .results import write_whole
from .speed import BASELINES, NETWORK, method_steps, ratios, step_times

BATCH = 8192  # samples per batch of a pass
STEP_BATCH = 32  # samples of a training step
STEPS = 20  # steps timed at a time
SIZE = 64
OURS, PRODUCT, ARGMAX = "PrototypeLabeler", "torch.mm", "torch.mm + argmax"
CENTROID, MEMORY = "sklearn NearestCentroid", "NeighborhoodAggregation"
COLOURS = {OURS: "#d62728", PRODUCT: "#9a9a9a", ARGMAX: "#4d4d4d", CENTROID: "#1f77b4", MEMORY: "#2ca02c"}


@dataclass(frozen=True)
class Point:
    """Numbers of target samples, feature dimensions and prototypes; there is one prototype per class."""

    samples: int = 100_000
    dim: int = 512
    prototypes: int = 1000


SWEEPS = {
    "samples": (1_000, 10_000, 100_000, 1_000_000),
    "dim": (128, 512, 2048),
    "prototypes": (10, 100, 1000, 10_000),
}
QUERIES = (32, 128, 256, 512, 1024)
Timed = Callable[[], Any]


def points() -> list[Point]:
    """Returns the points of all sweeps, each once."""
    swept = [replace(Point(), **{name: value}) for name, values in SWEEPS.items() for value in values]
    return list(dict.fromkeys(swept))


class Problem:
    """Features, prototypes and labelers of a point."""

    def __init__(self, point: Point, device: torch.device) -> None:
        generator = torch.Generator().manual_seed(0)
        self.point, self.device = point, device
        rows = torch.randn(min(BATCH, point.samples), point.dim, generator=generator)
        self.features = F.normalize(rows, dim=1).to(device)
        prototypes = torch.randn(point.prototypes, point.dim, generator=generator)
        self.prototypes = F.normalize(prototypes, dim=1).to(device)
        self.classes = torch.arange(point.prototypes, device=device)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields a pass over the target: the same features repeatedly, with the indices of all samples."""
        for start in range(0, self.point.samples, BATCH):
            size = min(BATCH, self.point.samples - start)
            yield self.features[:size], torch.arange(start, start + size, device=self.device)

    def labeler(self) -> PrototypeLabeler:
        """Returns a labeler with the prototypes."""
        labeler = PrototypeLabeler(self.point.prototypes, self.point.dim, self.point.samples).to(self.device)
        labeler.fit(self.prototypes, self.classes)
        return labeler

    def memory(self) -> NeighborhoodAggregation:
        """Returns upstream's memory of all features, for ten classes; their number has little influence."""
        return NeighborhoodAggregation(self.point.samples, self.point.dim, num_classes=10).to(self.device)

    def passes(self) -> dict[str, Timed]:
        """Returns the functions that are timed over a whole pass."""
        labeler, table = self.labeler(), self.prototypes.t().contiguous()
        centroid = NearestCentroid()
        # two samples per class around the prototype, because scikit-learn needs a spread
        spread = torch.full_like(self.prototypes, 1e-3)
        samples = torch.cat([self.prototypes - spread, self.prototypes + spread])
        centroid.fit(samples.cpu().numpy(), self.classes.cpu().repeat(2).numpy())
        return {
            OURS: lambda: labeler.relabel(self.batches()),
            PRODUCT: lambda: deque((rows @ table for rows, _ in self.batches()), maxlen=1),
            ARGMAX: lambda: deque(((rows @ table).argmax(1) for rows, _ in self.batches()), maxlen=1),
            CENTROID: lambda: deque((centroid.predict(rows.cpu().numpy()) for rows, _ in self.batches()), maxlen=1),
        }

    def steps(self) -> dict[str, Timed]:
        """Returns the functions that are timed per training step: labelling a batch, and the two updates."""
        labeler, memory, table = self.labeler(), self.memory(), self.prototypes.t().contiguous()
        rows = self.features[:STEP_BATCH]
        idx, logits = torch.arange(len(rows), device=self.device), torch.randn(len(rows), 10, device=self.device)
        classes = idx % self.point.prototypes

        def ours() -> None:
            found = labeler(rows, idx)
            labeler.update(rows, classes)
            labeler.update(rows, found.labels, found.weights)

        return {
            OURS: ours,
            ARGMAX: lambda: (rows @ table).argmax(1),
            MEMORY: lambda: memory(rows, logits, update=True, idx=idx),
        }


def seconds(action: Timed, device: torch.device, repeats: int = 1) -> float:
    """Returns the mean time of several repeats, in seconds."""
    start = time.perf_counter()
    for _ in range(repeats):
        action()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / repeats


def in_turn(actions: dict[str, Timed], rounds: int, device: torch.device, repeats: int = 1) -> dict[str, list[float]]:
    """Returns the seconds of each round, by contender."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            times[name].append(seconds(action, device, repeats))
    return times


def peak_memory(kind: str, point: Point) -> int | None:
    """Returns the bytes that a process needs for a pass, or for a step with upstream's memory; None except on Linux."""
    if not sys.platform.startswith("linux"):
        return None
    code = f"from benchmarks.speed_labeler import *; print(own_peak({kind!r}, {point!r}))"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout)


def own_peak(kind: str, point: Point) -> int:
    """Returns the peak growth of this process in bytes, beyond its features and prototypes."""
    problem = Problem(point, torch.device("cpu"))
    small = Problem(replace(point, samples=STEP_BATCH), torch.device("cpu"))
    small.labeler().relabel(small.batches())  # one-time loading is not counted
    start_peak_memory(torch.device("cpu"))
    before = bytes_of_process("VmRSS")
    if kind == OURS:
        problem.labeler().relabel(problem.batches())
    else:
        rows, idx = problem.features[:STEP_BATCH], torch.arange(STEP_BATCH)
        problem.memory()(rows, torch.randn(STEP_BATCH, 10), update=True, idx=idx)
    return bytes_of_process("VmHWM") - before


def measure(point: Point, rounds: int, device: torch.device) -> dict[str, Any]:
    """Returns all measurements of a point; times are medians over the rounds."""
    # warm-up: one-time loading is not counted
    in_turn(Problem(replace(point, samples=STEP_BATCH), device).passes(), 1, device)
    problem = Problem(point, device)
    passes = in_turn(problem.passes(), rounds, device)
    contenders = problem.steps()
    in_turn(contenders, 1, device)
    steps = in_turn(contenders, rounds, device, STEPS)
    step = {name: statistics.median(of_one) for name, of_one in steps.items()}
    whole = {name: statistics.median(of_one) for name, of_one in passes.items()}
    # a pass with upstream's memory takes hours, so it is extrapolated from its steps
    whole[MEMORY] = step[MEMORY] * -(-point.samples // STEP_BATCH)
    memory = {name: peak_memory(name, point) if device.type == "cpu" else None for name in (OURS, MEMORY)}
    return {
        **asdict(point),
        "pass_seconds": whole,
        "step_seconds": step,
        "pass_peak_bytes": memory,
        "pass_over_product": ratios(passes, PRODUCT)[OURS],
        "pass_over_argmax": ratios(passes, ARGMAX)[OURS],
    }


def crossover(dim: int = 512, rounds: int = 5) -> list[dict[str, Any]]:
    """Returns the time of the matrix product relative to FAISS's search on the CPU, by queries and references.

    The labeler uses the product up to `PRODUCT_QUERIES` queries and `PRODUCT_CELLS` products.
    """
    found = []
    for queries, references in product(QUERIES, SWEEPS["prototypes"]):
        rows, others = (F.normalize(torch.randn(count, dim), dim=1) for count in (queries, references))
        actions: dict[str, Timed] = {
            PRODUCT: partial(product_rows, rows, others, 2, "cosine"),
            "FAISS": partial(search_rows, rows, others, 2, "cosine"),
        }
        in_turn(actions, 1, torch.device("cpu"))
        ratio = ratios(in_turn(actions, rounds, torch.device("cpu"), repeats=3), "FAISS")[PRODUCT]
        is_product = queries <= PRODUCT_QUERIES and queries * references <= PRODUCT_CELLS
        found.append({"queries": queries, "references": references, "product_over_faiss": ratio, "product": is_product})
    return found


def crossover_rows(measured: list[dict[str, Any]]) -> list[list[str]]:
    """Returns the crossover as a table."""
    head = ["queries", "references", "product / FAISS", "the labeler uses"]
    used = {True: "product", False: "FAISS"}
    return [
        head,
        *(
            [str(one["queries"]), str(one["references"]), f"{one['product_over_faiss']:.2f}", used[one["product"]]]
            for one in measured
        ),
    ]


def bytes_a_sample(measured: list[dict[str, Any]]) -> dict[str, float] | None:
    """Returns the growth of peak memory between the two largest targets, in bytes per sample."""
    usual = asdict(Point())
    less, more = (
        next(one for one in measured if {key: one[key] for key in usual} == {**usual, "samples": samples})
        for samples in sorted(SWEEPS["samples"])[-2:]
    )
    if less["pass_peak_bytes"][OURS] is None:
        return None
    number = more["samples"] - less["samples"]
    return {name: (more["pass_peak_bytes"][name] - less["pass_peak_bytes"][name]) / number for name in (OURS, MEMORY)}


def write_labeler_speed(folder: Path, rounds: int) -> dict[str, Any]:
    """Measures, writes `speed-labeler-{device}.json` and a figure of that name, and returns the result."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    measured = []
    for point in points():
        measured.append(measure(point, rounds, device))
        print(json.dumps(measured[-1]), file=sys.stderr)  # progress, because all take a while
    method = BASELINES["step"]
    steps = method_steps(NETWORK, SIZE, STEP_BATCH, device, [get_method(method)])
    step = statistics.median(step_times(steps, rounds, device)[method])
    result = {
        "points": measured,
        "crossover": crossover(),
        "bytes_a_sample": bytes_a_sample(measured),
        "training_step": {"method": method, "network": NETWORK, "size": SIZE, "seconds": step},
        "settings": {"rounds": rounds, "batch": BATCH, "step_batch": STEP_BATCH},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "commit": commit(),
    }
    path = folder / f"speed-labeler-{device.type}.json"
    write_whole(path, result)
    draw(result, path.with_suffix(".png"))
    return result


def rows(result: dict[str, Any]) -> list[list[str]]:
    """Returns a table with one row per point."""
    step = result["training_step"]["seconds"]
    table = [["samples", "dim", "prototypes", "pass, s", "/ product", "/ argmax", "labelling / training step", "MiB"]]
    for one in result["points"]:
        peak = one["pass_peak_bytes"][OURS]
        numbers = [
            f"{one['pass_seconds'][OURS]:.3g}",
            f"{one['pass_over_product']:.2f}",
            f"{one['pass_over_argmax']:.2f}",
        ]
        numbers += [f"{one['step_seconds'][OURS] / step:.2%}", "-" if peak is None else f"{peak / 2**20:.0f}"]
        table.append([*(str(one[name]) for name in SWEEPS), *numbers])
    return table


def draw(result: dict[str, Any], path: Path) -> Path:
    """Draws log-log curves: one column per sweep, rows for time of a pass, time of a step and peak memory."""
    kinds = {"pass_seconds": "one pass, s", "step_seconds": "one step, s", "pass_peak_bytes": "peak memory, MiB"}
    units = {"samples": "target samples", "dim": "dimension of a feature", "prototypes": "prototypes"}
    figure, axes = plt.subplots(len(kinds), len(SWEEPS), figsize=(11, 9), sharex="col", sharey="row")
    usual = asdict(Point())
    for column, (name, values) in enumerate(SWEEPS.items()):
        others = {key: value for key, value in usual.items() if key != name}
        along = [one for one in result["points"] if {key: one[key] for key in others} == others and one[name] in values]
        along.sort(key=lambda one: one[name])
        for row, (kind, unit) in enumerate(kinds.items()):
            panel = axes[row, column]
            scale = 2**20 if kind == "pass_peak_bytes" else 1
            for contender in along[0][kind]:
                heights = [one[kind][contender] for one in along]
                if None not in heights:
                    style = {"ms": 4, "color": COLOURS[contender], "label": contender}
                    panel.loglog([one[name] for one in along], [height / scale for height in heights], "o-", **style)
            plain(panel)
            panel.grid(alpha=0.3)
            panel.set_ylabel(unit if column == 0 else "")
        axes[-1, column].set_xlabel(units[name])
        axes[-1, column].set_xticks(values, [f"{value:,}" for value in values])
        axes[-1, column].minorticks_off()
        fixed = ", ".join(f"{value:,} {key}" for key, value in others.items())
        axes[0, column].set_title(fixed, fontsize=9)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False, fontsize=9)
    what = f"{result['device']}, {result['threads']} threads; a pass of {MEMORY} is extrapolated from its steps"
    figure.suptitle(f"Labelling the target by prototypes\n({what})", fontsize=11)
    figure.tight_layout(rect=(0, 0.04, 1, 1))
    return save(figure, path)
