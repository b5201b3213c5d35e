"""What a user sees while a run trains: a bar with losses, scores and speed, and warnings of one line."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from .loop import Step
from .training_run import Progress

PACKAGE = __name__.partition(".")[0]


class ProgressBar:
    """Shows a run; call it after each step.

    Args:
        steps: of the run.
        done: steps of an earlier run that this one continues.
        images: samples of both domains in a step.
        is_shown: False shows nothing.
    """

    def __init__(self, steps: int, done: int, images: int, is_shown: bool = True) -> None:
        self.images = images
        self.bar = tqdm(
            total=steps, initial=done, desc="training", unit=" steps", mininterval=0.5, disable=not is_shown
        )

    def __call__(self, step: Step, progress: Progress) -> None:
        self.bar.update()
        if step.number % 10 == 0 or step.number == self.bar.total:
            self.bar.set_postfix_str(self.text(step, progress), refresh=False)

    def text(self, step: Step, progress: Progress) -> str:
        """Returns losses, label-free score, share of pseudo labels that are kept, and speed."""
        losses = step.losses.get("total_loss", {})
        parts = [f"loss {losses['total']:.3f}"] if "total" in losses else []
        if progress.curve:
            last = progress.curve[-1]
            parts.append("diverged" if last["selector"] is None else f"score {last['selector']:.2f}")
            if last.get("pseudo_labels"):
                parts.append(f"kept {100 * last['pseudo_labels']['kept']:.0f} %")
        rate = self.bar.format_dict["rate"]
        return ", ".join([*parts, f"{self.images * rate:.0f} images/s"] if rate else parts)

    def close(self) -> None:
        """Ends the bar."""
        self.bar.close()


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Prints warnings of this package as one line above a bar, and none of other packages."""

    def show(
        message: Warning | str, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None
    ) -> None:
        if f"/{PACKAGE}/" in filename.replace("\\", "/"):
            tqdm.write(f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
