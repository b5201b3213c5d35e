"""Vibration of motor bearings with nine faults; a domain is a motor load (0 to 3) and an accelerometer.

The accelerometers are at the drive end (de) and the fan end (fe). `bearing-load0_de-load3_de` has signals, and
`bearing_spectra-...` their log spectra as feature vectors.
"""

from itertools import permutations

import torch
from torch import Tensor

from dmsrl_adapt.data.arrays import read_arrays

from .images import count_labels
from .task import DataPlace, Need, Split, Task

DOMAINS = tuple(f"load{load}_{sensor}" for load in range(4) for sensor in ("de", "fe"))
KINDS = ("bearing", "bearing_spectra")
NAMES = tuple(f"{kind}-{source}-{target}" for kind in KINDS for source, target in permutations(DOMAINS, 2))
LICENCE = "none stated; Case Western Reserve University, https://engineering.case.edu/bearingdatacenter"
HOW = "The recordings are cut into windows of 1,024 samples; see benchmarks/README.md for the format."
VALIDATION = 2 / 7  # of the first part of a recording, its end
SMALLEST = 1e-3  # amplitude, added so that silence has a finite logarithm


def needs(name: str) -> tuple[Need, ...]:
    """Returns the files that a task needs."""
    _, *domains = name.split("-")
    return tuple(Need(f"bearing_{domain}.npz", f"{HOW}\n{LICENCE}", count_labels) for domain in domains)


def load(name: str, place: DataPlace) -> Task:
    """Returns the task: the first 70 % of each recording of the source, and recordings of the target by time.

    Their first 50 % are for training, the next 20 % for validation and the last 30 % for scoring, so that no scored
    window lies next to a training window of either domain.
    """
    kind, source, target = name.split("-")
    (pool, is_late, classes), (other, is_scored, _) = (read_domain(one, place, kind) for one in (source, target))
    is_validation = ends(other.known_labels, ~is_scored)
    is_train = ~is_scored & ~is_validation
    train, validation, test = (other.take(rows) for rows in (is_train, is_validation, is_scored))
    return Task(name, classes, pool.take(~is_late), train, validation, test, licence=LICENCE)


def read_domain(domain: str, place: DataPlace, kind: str) -> tuple[Split, Tensor, tuple[str, ...]]:
    """Returns a domain's signals or spectra, which rows are of the end of a recording, and the class names."""
    arrays = read_arrays(place.file(f"bearing_{domain}.npz", HOW), (), required=("X", "labels", "classes", "part"))
    signals, is_late = torch.as_tensor(arrays["X"]).float(), torch.as_tensor(arrays["part"] == 1)
    inputs = log_spectra(signals) if kind == "bearing_spectra" else signals
    return Split(inputs, torch.as_tensor(arrays["labels"])), is_late, tuple(arrays["classes"].tolist())


def log_spectra(signals: Tensor) -> Tensor:
    """Returns log amplitudes of the Fourier transform, float32 (N, C (T / 2 + 1)), of signals (N, C, T)."""
    window = torch.hann_window(signals.shape[-1])
    return (torch.fft.rfft(signals * window).abs() + SMALLEST).log().flatten(1)


def ends(labels: Tensor, is_early: Tensor) -> Tensor:
    """Returns which rows are the last of the early ones of their class, bool (N,); rows are in order of time."""
    is_end = torch.zeros_like(is_early)
    for label in labels.unique():
        rows = torch.nonzero(is_early & (labels == label))[:, 0]
        is_end[rows[len(rows) - round(len(rows) * VALIDATION) :]] = True
    return is_end
