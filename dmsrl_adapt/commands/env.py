"""`env`: versions, FAISS and devices, for bug reports."""

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from ..labelers.faiss_search import load_faiss
from ..version import __version__

HELP = "print versions, FAISS and devices, for bug reports"
PACKAGES = ("torch", "pytorch-adapt", "timm", "torchvision", "numpy", "pytorch-ignite", "lightning", "accelerate")


def report() -> str:
    """Returns the report, one line per item: this package, Python, related packages, GPUs and FAISS."""
    lines = [f"dmsrl_adapt {__version__}", f"python {platform.python_version()} on {platform.platform()}"]
    lines += [f"{package} {installed(package)}" for package in PACKAGES]
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return "\n".join([*lines, f"GPUs that torch sees: {', '.join(gpus) or 'none'}", faiss_line()])


def installed(package: str) -> str:
    """Returns the version of a package, or "is not installed"."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "is not installed"


def faiss_line() -> str:
    """Returns the version, kind and number of GPUs of FAISS, or why it cannot be used."""
    try:
        faiss = load_faiss()
    except ImportError as error:
        return f"faiss: {error}"
    kind = "for GPUs" if hasattr(faiss, "StandardGpuResources") else "for CPUs"
    return f"faiss {faiss.__version__} {kind}, sees {faiss.get_num_gpus()}"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds nothing."""


def do(options: argparse.Namespace) -> int:
    """Prints the report."""
    print(report())
    return 0
