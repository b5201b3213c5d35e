"""Running Python in a process of its own."""

import json
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def start(
    *args: str, cwd: Path | str = ROOT, start_new_session: bool = False, **environment: str
) -> subprocess.Popen[str]:
    """Starts Python with these arguments; it finds the package of this tree, in whichever folder it works."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
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


def finish(process: subprocess.Popen[str], seconds: float = 600.0) -> str:
    """Returns what the process printed; raises with its errors where it failed."""
    out, errors = process.communicate(timeout=seconds)
    if process.returncode != 0:
        raise AssertionError(f"exit status {process.returncode} of {process.args}:\n{out}\n{errors}")
    return out


def in_forks(work: Callable[..., None], arguments: Iterable[tuple[Any, ...]]) -> list[int | None]:
    """Runs `work` in forks of this process beside each other, one for each tuple; gives their exit statuses."""
    forks = multiprocessing.get_context("fork")
    started = [forks.Process(target=work, args=of_one) for of_one in arguments]
    for process in started:
        process.start()
    for process in started:
        process.join()
    return [process.exitcode for process in started]


class Forks:
    """Runs scripts and modules in processes of their own that need not import PyTorch and this package again."""

    def __init__(self) -> None:
        self.server = start("-W", "ignore", "-m", "tests.forks", start_new_session=True)

    def finish(self, *args: str, cwd: Path | str = ROOT, seconds: float = 600.0) -> str:
        """Returns what Python prints that has these arguments; raises with its errors where it failed."""
        with tempfile.TemporaryDirectory() as folder:
            out, errors = Path(folder) / "out", Path(folder) / "errors"
            request = {"arguments": args, "cwd": str(cwd), "out": str(out), "errors": str(errors)}
            print(json.dumps(request), file=self.server.stdin, flush=True)
            if not select.select([self.server.stdout], [], [], seconds)[0]:
                os.killpg(self.server.pid, signal.SIGKILL)
                raise TimeoutError(f"{args} took more than {seconds} s")
            status = self.server.stdout.readline().strip()
            if not status:
                raise AssertionError(f"tests.forks has ended:\n{self.server.stderr.read()}")
            if status != "0":
                raise AssertionError(f"exit status {status} of {args}:\n{out.read_text()}\n{errors.read_text()}")
            return out.read_text()

    def close(self) -> None:
        self.server.communicate()
