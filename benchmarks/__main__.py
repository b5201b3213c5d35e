"""Entry point of `python -m benchmarks`."""

import os
import sys
import warnings

if __name__ == "__main__":
    # torchmetrics 0.9.3, which pytorch-adapt pins, raises this warning on import
    quiet = "pkg_resources is deprecated"
    warnings.filterwarnings("ignore", message=quiet)
    # after Ctrl-C Python's resource tracker tells of semaphores of ended workers, which it then removes
    ignored = (quiet, "resource_tracker")
    os.environ.setdefault("PYTHONWARNINGS", ",".join(f"ignore:{message}:UserWarning" for message in ignored))
    try:
        from .cli import main

        sys.exit(main())
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        sys.exit(f"error: {package} is missing; install what the benchmarks need: python -m pip install '.[bench]'")
    except KeyboardInterrupt:
        print("\ninterrupted; what was finished is kept", file=sys.stderr)
        sys.exit(130)  # exit status of a shell after Ctrl-C
