import signal

import pytest
import torch

from ..stand_ins import assert_same_states
from .labeler_process import CLASSES, DIM, NUM_TARGET, PASS_AFTER, STEPS, batch, train


def run(forks, folder, processes=1, killed_after=0):
    """Runs all processes to their end; gives their exit statuses."""
    arguments = map(str, (folder, processes, killed_after))
    return [int(status) for status in forks.finish("-m", "tests.labelers.labeler_process", *arguments).split()]


@pytest.mark.parametrize("processes", [2, 4])
def test_several_processes_have_the_prototypes_of_one(processes, tmp_path, forks):
    assert run(forks, tmp_path, processes) == [0] * processes
    for per_class in (1, 2):
        alone = [labeler.state_dict() for labeler in train(per_class)]
        results = [torch.load(tmp_path / f"states{per_class}-{number}.pt") for number in range(processes)]
        for step, expected in enumerate(alone):
            for state in (of_process[step] for of_process in results):
                for key in ("prototypes", "is_seen", "mean_confidence", "fractions"):
                    assert torch.equal(state[key], results[0][step][key])
                # k-means finds the prototypes of a class in any order
                table, twin = (one["prototypes"].view(CLASSES, per_class, DIM) for one in (state, expected))
                order, other = table.argmax(2).argsort(1), twin.argmax(2).argsort(1)
                for k in range(CLASSES):
                    torch.testing.assert_close(table[k, order[k]], twin[k, other[k]], rtol=1e-4, atol=1e-5)
                torch.testing.assert_close(state["mean_confidence"], expected["mean_confidence"], rtol=1e-4, atol=1e-5)
                torch.testing.assert_close(state["fractions"][0], expected["fractions"][0])
                if step == PASS_AFTER:
                    sample_idx = batch(step)[1][3]
                    assert torch.equal(state["labels"][sample_idx], expected["labels"][sample_idx])
                    close = {"rtol": 1e-4, "atol": 1e-5}
                    torch.testing.assert_close(state["weights"][sample_idx], expected["weights"][sample_idx], **close)
    # tables of prototypes and, after a pass, labels: never features, however many samples a process has
    exchanged = [torch.load(tmp_path / f"exchanged{number}.pt") for number in range(processes)]
    assert max(map(max, exchanged)) <= max(2 * CLASSES * (DIM + 1), NUM_TARGET)


def test_a_run_that_was_killed_and_resumed_ends_as_if_it_had_not_been(tmp_path, forks):
    assert run(forks, tmp_path, killed_after=2) == [-signal.SIGKILL]
    assert torch.load(tmp_path / "checkpoint1.pt")[0] == 2
    assert run(forks, tmp_path) == [0]
    for per_class in (1, 2):
        whole = list(train(per_class))
        resumed = torch.load(tmp_path / f"states{per_class}-0.pt")
        assert len(resumed) == (STEPS - 2 if per_class == 1 else STEPS)
        assert_same_states(resumed[-1], whole[-1].state_dict())
