"""Makes a `MultiLevelBackbone` of every name of timm, without memory for its weights; prints those that cannot be made.

    python -m tests.backbones.every_timm_name [first letters]

Five minutes and 1 GB for all; no image is passed through.
"""

import sys

import timm
import torch
from tqdm import tqdm

from dmsrl_adapt import MultiLevelBackbone


def main(beginning: str = "") -> int:
    """Returns 1 where a name failed."""
    names, failed = timm.list_models(f"{beginning}*"), 0
    for name in tqdm(names):
        try:
            with torch.device("meta"):
                MultiLevelBackbone(name, levels=(-1,))
        except Exception as error:
            tqdm.write(f"{name}: {type(error).__name__}: {error}")
            failed += 1
    print(f"{len(names) - failed} of {len(names)} names of timm {timm.__version__}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
