"""A grid of runs over the cores of a machine or the workers of a cluster: what is done is not done again, what fails
does not stop the rest."""

import signal
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel, delayed, effective_n_jobs, parallel_config
from tqdm import tqdm

from .cluster import Cluster
from .methods import get_method
from .provenance import commit
from .results import checkpoint_of, is_done, make_result, write_result
from .tasks import DataError, DataPlace, Task, load_task
from .tasks.own_data import fingerprint, load_own, task_name
from .training import Plan, train


@dataclass(frozen=True)
class OwnTask:
    """A task of one's own: arguments of `load_own`."""

    source: Path
    target: Path
    target_test: Path | None
    size: int
    network: str

    @property
    def name(self) -> str:
        """Name of the task in result files."""
        return task_name(self.source, self.target)

    def data(self) -> dict[str, Any]:
        """What a result depends on, so that one of other data of the same name is not taken for it."""
        paths = {"source": self.source, "target": self.target, "target_test": self.target_test}
        prints = {key: path and path.exists() and fingerprint(path) for key, path in paths.items()}
        return {**prints, "size": self.size, "frozen": self.network == "frozen"}


@dataclass(frozen=True)
class Run:
    """One run of the grid.

    keeps_embedding: write some features beside the result, for pictures.
    """

    task: str | OwnTask
    method: str
    seed: int
    keeps_embedding: bool = False


@dataclass(frozen=True)
class Report:
    """How a run went.

    score: of the last step, None without labels.
    error: None where it went well.
    is_kept: its result was there.
    """

    run: Run
    task: str
    score: float | None = None
    error: str | None = None
    is_kept: bool = False

    @property
    def state(self) -> str:
        """The outcome in a word or a number."""
        if self.error or self.is_kept:
            return "failed" if self.error else "kept"
        return "done" if self.score is None else f"{100 * self.score:.1f} %"


@lru_cache(maxsize=2)
def task_of(task: str | OwnTask, place: DataPlace) -> Task:
    """Returns the task of a run, read once a process."""
    if isinstance(task, str):
        return load_task(task, place)
    return load_own(task.source, task.target, task.target_test, task.size, task.network)


def do_run(run: Run, plan: Plan, place: DataPlace, folder: Path, redo_stale: bool = False) -> Report:
    """Does one run and writes its result, unless it is there; with `redo_stale` unless today's code has made it."""
    name = run.task if isinstance(run.task, str) else run.task.name
    torch.set_num_threads(1)
    # signs of a collapse, in the midst of the progress bar: a report tells by its scores
    warnings.filterwarnings("ignore", message=r".*see docs/robustness\.md")
    commit()  # kept from here on: a commit made while this process trains is not what it runs
    try:
        data = None if isinstance(run.task, str) else run.task.data()
        method = get_method(run.method)
        if is_done(folder, name, method, run.seed, plan, data, redo_stale):
            return Report(run, name, is_kept=True)
        task = task_of(run.task, place)
        checkpoint = checkpoint_of(folder, name, method, run.seed, plan, data)
        outcome = train(task, method, run.seed, plan, checkpoint=checkpoint)
        result = make_result(task, method, run.seed, plan, outcome, data)
        write_result(folder, result, outcome.embedding if run.keeps_embedding else None)
        checkpoint.remove()
        return Report(run, name, result[task.metric]["last"])
    except DataError as error:
        return Report(run, name, error=str(error))
    except Exception as error:
        return Report(run, name, error=f"{type(error).__name__}: {error}\n{traceback.format_exc()}")


def do_all(
    runs: list[Run],
    plan: Plan,
    place: DataPlace,
    folder: Path,
    jobs: int | None = None,
    cluster: Cluster | None = None,
    redo_stale: bool = False,
) -> list[Report]:
    """Does the runs, `jobs` at a time (None: one a core, or one a worker of the cluster), with a progress bar; gives
    the reports of all."""
    with cluster.joined() if cluster else parallel_config(backend="loky", initializer=leave_interrupts_to_parent):
        jobs = min(jobs or effective_n_jobs(-1), len(runs))
        reports: Iterable[Report]
        if jobs == 1 and not cluster:
            reports = (do_run(run, plan, place, folder, redo_stale) for run in runs)
        else:
            work = (delayed(do_run)(run, plan, place, folder, redo_stale) for run in runs)
            reports = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)(work)
        return list(with_progress(reports, runs, jobs))


def leave_interrupts_to_parent() -> None:
    """Lets Ctrl-C, which a terminal sends to all processes of a command, reach the one that ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def with_progress(reports: Iterable[Report], runs: list[Run], jobs: int) -> Iterator[Report]:
    """Passes the reports on under a bar that names the methods and seeds in training and the time left; every run that
    is done leaves a line above it."""
    form, left = "{desc} |{bar}| {n}/{total} runs, {elapsed} gone, {remaining} left", list(runs)
    with tqdm(total=len(runs), bar_format=form, desc=in_training(left, jobs)) as bar:
        for report in reports:
            bar.write(f"{report.task} {report.run.method} seed {report.run.seed}: {report.state}", file=sys.stderr)
            left.remove(report.run)
            bar.set_description_str(in_training(left, jobs), refresh=False)
            bar.update()
            yield report


def in_training(left: list[Run], jobs: int) -> str:
    """Names the first two of the runs in training, which start in the order of the list, and counts the others."""
    names = [f"{run.method} seed {run.seed}" for run in left[: min(jobs, 2)]]
    others = min(jobs, len(left)) - len(names)
    return ", ".join([*names, *([f"{others} more"] if others > 0 else [])]) or "done"
