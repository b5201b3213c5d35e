"""Cache on disk of what a frozen network computes for a data set, shared by processes and verified at each use."""

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor
from tqdm import tqdm

SPREAD = 4  # inputs of the probe, besides those with the smallest and the largest value
CLOSE = 1e-4  # relative tolerance, above the rounding differences between devices and numbers of threads
ONE_AT_A_TIME = threading.RLock()  # threads may share a network and its training mode

Compute = Callable[[Tensor], list[Tensor]]


class Probe(NamedTuple):
    """Current results for some inputs.

    places: indices of the inputs, ascending.
    rows: shape (n, D), their results.
    widths: sizes of the parts of a row.
    """

    places: list[int]
    rows: Tensor
    widths: list[int]


def kept_rows(
    stem: Path, inputs: Tensor, compute: Compute, batch_size: int = 64, seed: int | None = None, **bar: Any
) -> Tensor:
    """Returns one row per input, memory-mapped from a file, which is computed at the first call.

    `stem` should identify the inputs and the computation. In addition, a probe of some inputs is computed at every
    call. If its rows differ from those in the file, the file is of another computation with the same name: it is left
    unchanged, and another file with a number in its name is used. The returned rows are therefore those of the current
    `compute`, up to rounding.

    One process and thread at a time fills a file, while others wait. The operating system releases the lock if its
    holder dies. An interrupted computation resumes with the next batch.

    Args:
        stem: path of the file without extension; the folder is created if missing.
        inputs: shape (N, ...), N at least 1.
        compute: takes some inputs, shape (n, ...), and returns parts of their rows, each of shape (n, ...) and of the
            same floating point dtype, which are concatenated. The result for an input must not depend on call or batch.
        batch_size: inputs per batch.
        seed: for a `compute` that draws random numbers on the CPU: the generator starts from this seed, and its state
            is restored afterwards. The probe is then the first batch, and an interrupted computation starts again.
        **bar: arguments of `tqdm` for the progress bar.

    Returns:
        shape (N, D), of the dtype of `compute`.

    Raises:
        ValueError: rows that are not finite, or that differ between calls; the file is removed.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     kept_rows(Path(folder) / "squares", torch.arange(3.0), lambda x: [x, x.square()], disable=True)
        tensor([[0., 0.],
                [1., 1.],
                [2., 4.]])
    """
    with ONE_AT_A_TIME:
        probe = probe_of(inputs, compute, batch_size, seed)
        path, done = find(stem, probe)
        if done < len(inputs):
            stem.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{stem}.lock"), drawing(seed):
                path, done = find(stem, probe)  # another process may have filled it in the meantime
                if done < 0:
                    begin(path, len(inputs), probe)
                if done < len(inputs):
                    fill(path, inputs, compute, probe, batch_size, max(done, 0) if seed is None else 0, bar)
    # copy on write, because torch has no read-only tensors; the file is not changed
    return torch.from_numpy(np.load(path, mmap_mode="c"))


@contextmanager
def drawing(seed: int | None) -> Iterator[None]:
    """Seeds the CPU generator, if there is a seed, and restores its state afterwards."""
    if seed is None:
        yield
        return
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)


def probe_of(inputs: Tensor, compute: Compute, batch_size: int, seed: int | None) -> Probe:
    """Returns the probe: evenly spread inputs and those with extreme values, or with a seed the first batch."""
    places = list(range(min(batch_size, len(inputs))))
    if seed is None:
        flat = inputs.reshape(len(inputs), -1)
        spread = torch.linspace(0, len(inputs) - 1, min(SPREAD, len(inputs)), dtype=torch.float32).long().tolist()
        places = sorted({*spread, int(flat.amax(1).argmax()), int(flat.amin(1).argmin())})
    with drawing(seed):
        parts = compute(inputs[places])
    return Probe(places, joined(parts), [part[0].numel() for part in parts])


def joined(parts: list[Tensor]) -> Tensor:
    """Returns concatenated parts as rows, on the CPU."""
    return torch.cat([part.detach().reshape(len(part), -1).cpu() for part in parts], dim=1)


def find(stem: Path, probe: Probe) -> tuple[Path, int]:
    """Returns the first file that agrees with the probe, and its number of finished rows; or a new path, and -1."""
    for number in itertools.count():
        path = stem.with_name(f"{stem.name}-{number}.npy" if number else f"{stem.name}.npy")
        done = read_done(path)
        if done < 0 or agrees(torch.from_numpy(np.load(path, mmap_mode="c")), probe.places, probe):
            break
    return path, done


def agrees(rows: Tensor, places: list[int], probe: Probe) -> bool:
    """Returns whether rows at these places equal the probe's, up to rounding, including that of their dtype."""
    wanted = probe.rows
    if rows.dtype != wanted.dtype or rows.shape[1] != wanted.shape[1] or max(places) >= len(rows):
        return False
    if not wanted.isfinite().all():
        return False
    relative = CLOSE + torch.finfo(wanted.dtype).eps
    for came, part in zip(*(torch.split(x, probe.widths, 1) for x in (rows[places], wanted)), strict=True):
        bound = relative * part.double().abs() + CLOSE * part.double().square().mean().sqrt()
        if not ((came.double() - part.double()).abs() <= bound).all():
            return False
    return True


def read_done(path: Path) -> int:
    """Returns the number of finished rows of a file; -1 if it does not exist or is damaged."""
    try:
        done = int(json.loads(path.with_suffix(".json").read_text())["rows"])
        np.load(path, mmap_mode="r")
    except (OSError, ValueError, KeyError, TypeError):
        return -1
    return done


def write_done(path: Path, done: int) -> None:
    """Writes the number of finished rows of a file atomically."""
    unfinished = path.with_suffix(".json.part")
    unfinished.write_text(json.dumps({"rows": done}))
    unfinished.replace(path.with_suffix(".json"))


def begin(path: Path, size: int, probe: Probe) -> None:
    """Creates a file with the probe's rows, which identify it."""
    shape = (size, probe.rows.shape[1])
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=probe.rows.numpy().dtype, shape=shape)
    rows[probe.places] = probe.rows.numpy()
    rows.flush()
    write_done(path, 0)


def fill(
    path: Path, inputs: Tensor, compute: Compute, probe: Probe, batch_size: int, done: int, bar: dict[str, Any]
) -> None:
    """Computes the missing rows of a file in batches. Removes the file if they are invalid."""
    rows = np.load(path, mmap_mode="r+")
    with tqdm(total=len(inputs), initial=done, **bar) as shown:
        for start in range(done, len(inputs), batch_size):
            values = joined(compute(inputs[start : start + batch_size]))
            try:
                check(values, start, probe)
            except ValueError:
                path.with_suffix(".json").unlink()
                path.unlink()
                raise
            rows[start : start + len(values)] = values.numpy()
            rows.flush()
            write_done(path, start + len(values))
            shown.update(len(values))


def check(values: Tensor, start: int, probe: Probe) -> None:
    """Raises `ValueError` if rows from `start` on are not finite, or differ from those of the probe."""
    if not values.isfinite().all():
        kind = str(values.dtype).removeprefix("torch.")
        raise ValueError(f"what is computed must be finite in {kind}, that of inputs {start} on is not")
    numbers = [number for number, place in enumerate(probe.places) if start <= place < start + len(values)]
    places = [probe.places[number] - start for number in numbers]
    if places and not agrees(values, places, probe._replace(rows=probe.rows[numbers])):
        raise ValueError(
            f"what is computed of inputs {start} on must be the same at every call and in every batch, it has changed: "
            "no random numbers and no statistics of the batch may be at work in evaluation mode"
        )
