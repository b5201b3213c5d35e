"""Running Python in a process of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def start(
    *args: str, cwd: Path | str = ROOT, start_new_session: bool = False, **environment: str
) -> subprocess.Popen[str]:
    """Starts Python with these arguments; it finds the package of this tree, in whichever folder it works."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [sys.executable, *args],
        cwd=cwd,
        env=environment,
        text=True,
        start_new_session=start_new_session,
        preexec_fn=heed_ctrl_c,
        **pipes,
    )


def heed_ctrl_c() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so would what that starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finish(process: subprocess.Popen[str], seconds: float = 300.0) -> str:
    """Gives what the process printed; raises with its errors where it failed."""
    out, errors = process.communicate(timeout=seconds)
    if process.returncode != 0:
        raise AssertionError(f"exit status {process.returncode} of {process.args}:\n{out}\n{errors}")
    return out
