"""What a frozen network computes of a data set: once for all processes, in a file that must agree with it."""

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

SPREAD = 4  # inputs of the probe, besides those with the smallest and the largest number
CLOSE = 1e-4  # relative; other devices and numbers of threads round by less
ONE_AT_A_TIME = threading.RLock()  # threads may share a network, and with it the mode in which it is

Compute = Callable[[Tensor], list[Tensor]]


class Probe(NamedTuple):
    """What is computed of some inputs today.

    places: which inputs, in order.
    rows: shape (n, D), of these.
    widths: of the parts of a row.
    """

    places: list[int]
    rows: Tensor
    widths: list[int]


def kept_rows(
    stem: Path, inputs: Tensor, compute: Compute, batch_size: int = 64, seed: int | None = None, **bar: Any
) -> Tensor:
    """Returns what is computed of inputs, a row each, memory-mapped from a file or computed and kept there.

    `stem` names the inputs and what computes them, as far as that can be told without computing. Besides, a probe of
    some inputs is computed at every call. A file with other rows than the probe's is of something else that has the
    same name: it is left as it is, and another one is made, with a number in its name. So the rows of a file are those
    that `compute` returns today, but for rounding.

    One process and thread at a time fills a file, the others wait for it and read. The lock is the operating system's,
    which frees it when its holder dies. An interrupted computation goes on with the next batch.

    Args:
        stem: path of the file without its ending; the folder is made where it is missing.
        inputs: shape (N, ...), N at least 1.
        compute: takes some inputs, shape (n, ...), and returns parts of their rows, each of shape (n, ...) and of one
            floating dtype, which are put side by side. Of an input they must be the same at every call, in every batch.
        batch_size: inputs a batch.
        seed: for a `compute` that draws random numbers on the CPU. They start from this one, and are put back
            afterwards. The probe is the first batch, and an interrupted computation starts anew.
        **bar: arguments of `tqdm` for the progress bar.

    Returns:
        shape (N, D), of the dtype that is computed.

    Raises:
        ValueError: rows that are not finite, or that are others a second time; no file is left then.

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
                path, done = find(stem, probe)  # another process may have filled it meanwhile
                if done < 0:
                    begin(path, len(inputs), probe)
                if done < len(inputs):
                    fill(path, inputs, compute, probe, batch_size, max(done, 0) if seed is None else 0, bar)
    # copy on write, since torch has no tensors that cannot be written to; the file stays as it is
    return torch.from_numpy(np.load(path, mmap_mode="c"))


@contextmanager
def drawing(seed: int | None) -> Iterator[None]:
    """Draws random numbers of the CPU from a seed, where there is one, and puts those back that were to come."""
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
    """Computes the probe: inputs spread over all and those with the largest and smallest number, or the first batch."""
    places = list(range(min(batch_size, len(inputs))))
    if seed is None:
        flat = inputs.reshape(len(inputs), -1)
        spread = torch.linspace(0, len(inputs) - 1, min(SPREAD, len(inputs)), dtype=torch.float32).long().tolist()
        places = sorted({*spread, int(flat.amax(1).argmax()), int(flat.amin(1).argmin())})
    with drawing(seed):
        parts = compute(inputs[places])
    return Probe(places, joined(parts), [part[0].numel() for part in parts])


def joined(parts: list[Tensor]) -> Tensor:
    """Returns rows of parts that are put side by side, on the CPU."""
    return torch.cat([part.detach().reshape(len(part), -1).cpu() for part in parts], dim=1)


def find(stem: Path, probe: Probe) -> tuple[Path, int]:
    """Returns the first file that agrees with the probe or is not begun, and how many rows are done; -1 for that."""
    for number in itertools.count():
        path = stem.with_name(f"{stem.name}-{number}.npy" if number else f"{stem.name}.npy")
        done = read_done(path)
        if done < 0 or agrees(torch.from_numpy(np.load(path, mmap_mode="c")), probe.places, probe):
            break
    return path, done


def agrees(rows: Tensor, places: list[int], probe: Probe) -> bool:
    """Whether rows at these places are the probe's, but for rounding, also that of the dtype in which they are kept."""
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
    """Returns how many rows of a file are computed; -1 where it has not been begun."""
    note = path.with_suffix(".json")
    return int(json.loads(note.read_text())["rows"]) if path.is_file() and note.is_file() else -1


def write_done(path: Path, done: int) -> None:
    """Notes how many rows of a file are computed, at once or not at all."""
    unfinished = path.with_suffix(".json.part")
    unfinished.write_text(json.dumps({"rows": done}))
    unfinished.replace(path.with_suffix(".json"))


def begin(path: Path, size: int, probe: Probe) -> None:
    """Makes a file with the probe's rows in it, by which it is known from now on."""
    shape = (size, probe.rows.shape[1])
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=probe.rows.numpy().dtype, shape=shape)
    rows[probe.places] = probe.rows.numpy()
    rows.flush()
    write_done(path, 0)


def fill(
    path: Path, inputs: Tensor, compute: Compute, probe: Probe, batch_size: int, done: int, bar: dict[str, Any]
) -> None:
    """Computes the rows that a file lacks, batch by batch. Removes it where they cannot be kept."""
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
    """Raises `ValueError` where rows from `start` on are not finite, or not those of the probe where that has them."""
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
