"""Peak memory of a run."""

from pathlib import Path

import torch

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MEGABYTE = 2**20


def start_peak_memory(device: torch.device) -> None:
    """Resets the peak."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif RESET.exists():
        RESET.write_text("5")  # see proc(5)


def peak_memory(device: torch.device) -> float | None:
    """Returns the peak since the start in MiB; None if the system does not support it (Linux does).

    For a GPU it is the memory of tensors, otherwise that of the whole process, including libraries and data.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MEGABYTE
    if not (RESET.exists() and STATUS.exists()):
        return None
    return bytes_of_process("VmHWM") / MEGABYTE


def bytes_of_process(key: str) -> int:
    """Returns bytes of this process by Linux's key: VmRSS for the current memory, VmHWM for its peak."""
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return 1024 * int(lines[key].split()[0])
