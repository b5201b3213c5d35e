"""Options shared by several commands, and their conversion."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dmsrl_adapt.data import open_data
from dmsrl_adapt.data.files import NO_HEIF

from ..cluster import Cluster
from ..grid import OwnTask, Report
from ..tasks import DataPlace, task_names

FROZEN_SIZE = 128  # side of the images that the frozen network takes, in pixels


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Adds the data folder."""
    parser.add_argument("--data-dir", type=Path, help="folder of data sets (default: $DMSRL_ADAPT_DATA)")


def add_length(parser: argparse.ArgumentParser, seeds: str) -> None:
    """Adds seeds and training steps."""
    parser.add_argument("--seeds", default=seeds, help="numbers, separated by commas (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=400, help="training steps of a run (default: %(default)s)")


def add_network(parser: argparse.ArgumentParser) -> None:
    """Adds the network."""
    networks = '"small", "pooled", "frozen" (for your own images), or the name of a timm model'
    parser.add_argument("--network", default="small", help=networks)


def plan_network(options: argparse.Namespace) -> str:
    """Returns the network to train; on frozen features this is only a bottleneck, whatever the name."""
    return "small" if options.network == "frozen" else str(options.network)


def add_own_data(parser: argparse.ArgumentParser, title: str) -> None:
    """Adds the options for your own data."""
    own = parser.add_argument_group(title)
    own.add_argument("--source", type=Path, help="labelled source: a folder of class folders, a table, or .npz")
    target = "target: a folder of images, or as for --source; labels are used for scoring only"
    own.add_argument("--target", type=Path, help=target)
    own.add_argument("--target-test", type=Path, help="target images for scoring (default: 30 %% of the target)")
    own.add_argument(
        "--size", type=int, default=32, help="side to which images are resized, in pixels (default: %(default)s)"
    )


def own_task(options: argparse.Namespace) -> OwnTask:
    """Returns the task of the user's own data, and prints a note on files that are left out. Raises `ValueError` if
    --source or --target is missing."""
    if not (options.source and options.target):
        raise ValueError("--source and --target must be given together")
    for path in (options.source, options.target, options.target_test):
        if path and path.is_dir():
            tell_left_out(path, open_data(path).left_out)
    size = FROZEN_SIZE if options.network == "frozen" else options.size
    return OwnTask(options.source, options.target, options.target_test, positive(size, "--size"), options.network)


def tell_left_out(path: Path, left_out: Sequence[tuple[str, str]]) -> None:
    """Prints how many files below a path are left out, and what to install to read HEIC files."""
    if not left_out:
        return
    heif = [name for name, reason in left_out if reason == NO_HEIF]
    hint = f"; {len(heif)} of them HEIC, which {NO_HEIF.replace('needs', 'need')}" if heif else ""
    count = "1 file is" if len(left_out) == 1 else f"{len(left_out)} files are"
    print(f"note: {path}: {count} left out, such as {heif[0] if heif else left_out[0][0]}{hint}", file=sys.stderr)


def seeds_of(options: argparse.Namespace) -> list[int]:
    """Returns the seeds of the options."""
    return [int(seed) for seed in options.seeds.split(",")]


def add_grid_options(parser: argparse.ArgumentParser) -> None:
    """Adds options for parallel runs and for data."""
    parser.add_argument("--jobs", type=int, help="number of parallel runs (default: one per core, or per worker)")
    parser.add_argument(
        "--backend", choices=("loky", "dask"), default="loky", help="backend of joblib (default: %(default)s)"
    )
    parser.add_argument("--scheduler", help="address of the Dask scheduler, such as tcp://10.0.0.1:8786")
    add_data_dir(parser)
    parser.add_argument("--download", action="store_true", help="download missing data if its owner offers it")


def data_place(options: argparse.Namespace) -> DataPlace:
    """Returns the folder in which data is looked for."""
    folder = options.data_dir or os.environ.get("DMSRL_ADAPT_DATA")
    return DataPlace(Path(folder).resolve() if folder else None, getattr(options, "download", False))


def cluster(options: argparse.Namespace) -> Cluster | None:
    """Returns the cluster; None for the cores of this machine. Raises `ValueError` if the address is missing."""
    if (options.backend == "dask") != bool(options.scheduler):
        raise ValueError("--backend dask and --scheduler ADDRESS must be given together")
    return Cluster(options.scheduler) if options.scheduler else None


def known_tasks(text: str) -> list[str]:
    """Returns the task names of a comma-separated text. Raises `ValueError` for unknown tasks."""
    names = text.split(",")
    if unknown := sorted(set(names) - set(task_names())):
        raise ValueError(f"unknown tasks {unknown}; choose from {', '.join(task_names())}")
    return names


def positive(value: int, name: str) -> int:
    """Returns the value. Raises `ValueError` if it is below 1."""
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return value


def show_failures(failed: list[Report]) -> int:
    """Prints each error once, with the runs that failed with it; returns the exit status."""
    met: dict[tuple[str, str], dict[str, list[str]]] = {}
    for report in failed:
        methods_met = met.setdefault((report.task, str(report.error)), {})
        methods_met.setdefault(report.run.method, []).append(str(report.run.seed))
    for (task, error), of_error in met.items():
        named = "; ".join(f"{name} seed {', '.join(sorted(seeds))}" for name, seeds in of_error.items())
        print(f"\nfailed: {task} {named}: {error}", file=sys.stderr)
    return 1 if failed else 0
