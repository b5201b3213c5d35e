"""Runs a script whose epochs are of two batches of 64, however many samples there are.

python -m tests.short_epochs script [arguments]
"""

import runpy
import sys

from pytorch_adapt.datasets import CombinedSourceAndTargetDataset

if __name__ == "__main__":
    CombinedSourceAndTargetDataset.__len__ = lambda self: 128
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
