"""Options that several commands have, and what is made of them."""

import argparse
import os
import sys
from pathlib import Path

from ..cluster import Cluster
from ..grid import OwnTask, Report
from ..tasks import DataPlace, task_names
from ..tasks.own_data import lacks_heif, left_out

FROZEN_SIZE = 128  # side of the images of which the frozen network gives features


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Adds where data lies."""
    parser.add_argument("--data-dir", type=Path, help="folder of data sets (default: $DMSRL_ADAPT_DATA)")


def add_length(parser: argparse.ArgumentParser, seeds: str) -> None:
    """Adds how often and how long to train."""
    parser.add_argument("--seeds", default=seeds, help="numbers, separated by commas (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=400, help="training steps of a run (default: %(default)s)")


def add_network(parser: argparse.ArgumentParser) -> None:
    """Adds what network to train."""
    networks = '"small", "pooled", "frozen" (own images), or the name of a timm model'
    parser.add_argument("--network", default="small", help=networks)


def plan_network(options: argparse.Namespace) -> str:
    """The network to train: on frozen features there is a bottleneck only, whatever its name."""
    return "small" if options.network == "frozen" else str(options.network)


def add_own_data(parser: argparse.ArgumentParser, title: str) -> None:
    """Adds where data of one's own is."""
    own = parser.add_argument_group(title)
    own.add_argument("--source", type=Path, help="labelled source: a folder of class folders, or .npz")
    target = "target: images right in a folder, or like a source; labels score only"
    own.add_argument("--target", type=Path, help=target)
    own.add_argument("--target-test", type=Path, help="scoring part (default: 30 %% of the target)")
    own.add_argument("--size", type=int, default=32, help="side to which own images are resized (default: %(default)s)")


def own_task(options: argparse.Namespace) -> OwnTask:
    """Returns the task of one's own that the options name, after a note on files that are left out. Raises `ValueError`
    where a path is missing."""
    if not (options.source and options.target):
        raise ValueError("--source and --target go together")
    for path in (options.source, options.target, options.target_test):
        if path:
            tell_left_out(path, left_out(path))
    size = FROZEN_SIZE if options.network == "frozen" else options.size
    return OwnTask(options.source, options.target, options.target_test, positive(size, "--size"), options.network)


def tell_left_out(path: Path, strays: list[Path]) -> None:
    """Prints how many files below a path are not read, and what to install where some are HEIC."""
    if not strays:
        return
    heif = [file for file in strays if lacks_heif(file)]
    hint = f"; to read HEIC, of which there are {len(heif)}: pip install pillow-heif" if heif else ""
    count = "1 file is" if len(strays) == 1 else f"{len(strays)} files are"
    print(f"note: {path}: {count} left out, such as {(heif or strays)[0]}{hint}", file=sys.stderr)


def seeds_of(options: argparse.Namespace) -> list[int]:
    """Returns the seeds that the options name."""
    return [int(seed) for seed in options.seeds.split(",")]


def add_grid_options(parser: argparse.ArgumentParser) -> None:
    """Adds what says where runs run and where their data is."""
    parser.add_argument("--jobs", type=int, help="runs at a time (default: one a core, or one a worker)")
    parser.add_argument("--backend", choices=("loky", "dask"), default="loky", help="of joblib (default: %(default)s)")
    parser.add_argument("--scheduler", help="address of the Dask scheduler, such as tcp://10.0.0.1:8786")
    add_data_dir(parser)
    parser.add_argument(
        "--download", action="store_true", help="fetch what the folder lacks, where its owner offers it"
    )


def data_place(options: argparse.Namespace) -> DataPlace:
    """Returns where data is looked for."""
    folder = options.data_dir or os.environ.get("DMSRL_ADAPT_DATA")
    return DataPlace(Path(folder).resolve() if folder else None, getattr(options, "download", False))


def cluster(options: argparse.Namespace) -> Cluster | None:
    """Returns the cluster to run on, None for the cores of this machine. Raises `ValueError` without an address."""
    if (options.backend == "dask") != bool(options.scheduler):
        raise ValueError("--backend dask and --scheduler ADDRESS go together")
    return Cluster(options.scheduler) if options.scheduler else None


def known_tasks(text: str) -> list[str]:
    """Returns the tasks that a text names, separated by commas. Raises `ValueError` for unknown ones."""
    names = text.split(",")
    if unknown := sorted(set(names) - set(task_names())):
        raise ValueError(f"there are no tasks {unknown}; there are {', '.join(task_names())}")
    return names


def positive(value: int, name: str) -> int:
    """Returns the value. Raises `ValueError` below 1."""
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return value


def show_failures(failed: list[Report]) -> int:
    """Prints every error once, with the runs that it met: one missing file fails every run of a task. Gives the exit
    status."""
    met: dict[tuple[str, str], dict[str, list[str]]] = {}
    for report in failed:
        methods_met = met.setdefault((report.task, str(report.error)), {})
        methods_met.setdefault(report.run.method, []).append(str(report.run.seed))
    for (task, error), of_error in met.items():
        named = "; ".join(f"{name} seed {', '.join(sorted(seeds))}" for name, seeds in of_error.items())
        print(f"\nfailed: {task} {named}: {error}", file=sys.stderr)
    return 1 if failed else 0
