"""How much memory a run needs at most."""

from pathlib import Path

import torch

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MEGABYTE = 2**20


def start_peak_memory(device: torch.device) -> None:
    """Forgets the peak so far."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif RESET.exists():
        RESET.write_text("5")  # see proc(5)


def peak_memory(device: torch.device) -> float | None:
    """Returns the peak since the start in MiB: of a GPU what tensors took, else what the whole process had in memory,
    libraries and data included. None where the system does not tell (it does on Linux)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MEGABYTE
    if not (RESET.exists() and STATUS.exists()):
        return None
    return bytes_of_process("VmHWM") / MEGABYTE


def bytes_of_process(key: str) -> int:
    """Returns a number of bytes that Linux keeps of this process: VmRSS, in memory now, or VmHWM, at most so far."""
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return 1024 * int(lines[key].split()[0])
