"""Some steps of a labeller in forks of this process: several that share the samples, or one that is killed.

Arguments: folder, number of processes, step after which to be killed (0: none). Prints the exit status of each.
"""

import copy
import os
import signal
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from dmsrl_adapt.labelers import PrototypeLabeler

from ..scripts import in_forks
from ..stand_ins import assert_same_states

CLASSES, DIM, NUM_TARGET, SIZE = 3, 6, 60, 24
STEPS, PASS_AFTER = 5, 2


def samples(seed):
    """Features around six axes, two of them a class, labels, weights and places in the data set."""
    generator = torch.Generator().manual_seed(seed)
    axis = torch.arange(SIZE) % DIM
    features = torch.eye(DIM)[axis] + 0.1 * torch.randn(SIZE, DIM, generator=generator)
    weights = torch.rand(SIZE, generator=generator)
    return features, axis // 2, weights, torch.randperm(NUM_TARGET, generator=generator)[:SIZE]


def share(columns, number, processes):
    """This process's part of the samples: of unequal size, the second one's is empty now and then."""
    rows = torch.arange(SIZE) % (processes + 1)
    mine = (rows == number) | ((rows == processes) & (number == 0))
    return [column[mine] for column in columns]


def counted(exchanged, collective):
    """A collective that notes how many numbers it is given."""

    def wrapper(*args, **kwargs):
        tensor = next(arg for arg in reversed(args) if isinstance(arg, torch.Tensor))
        exchanged.append(tensor.numel())
        return collective(*args, **kwargs)

    return wrapper


def batch(step, number=0, processes=1):
    """This process's share of a step: source and target, and what a classifier says of the target."""
    source, target = (share(samples(2 * step + domain), number, processes) for domain in (0, 1))
    probs = target[0] @ torch.randn(DIM, CLASSES, generator=torch.Generator().manual_seed(step))
    return source, target, probs


def train(per_class, number=0, processes=1, checkpoint=None, killed_after=0):
    """Returns a labeller after every step; goes on from the checkpoint where there is one."""
    labeler, start = PrototypeLabeler(CLASSES, DIM, NUM_TARGET, prototypes_per_class=per_class, momentum=0.7), 0
    if checkpoint and checkpoint.exists():
        start, state = torch.load(checkpoint)
        labeler.load_state_dict(state)
    for step in range(start, STEPS):
        source, target, probs = batch(step, number, processes)
        if step == 0:
            labeler.fit(*source[:3])
        labels, trust, _ = labeler(target[0], target[3], probs)
        labeler.update(*source[:3])
        labeler.update(target[0], labels, trust)
        if step == PASS_AFTER:
            labeler.relabel([(target[0], target[3], probs)])
        if checkpoint:
            torch.save((step + 1, labeler.state_dict()), checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
        if step + 1 == killed_after:
            os.kill(os.getpid(), signal.SIGKILL)
        yield copy.deepcopy(labeler)


def work(folder, number, processes, killed_after):
    torch.set_num_threads(1)
    exchanged = []
    if processes > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=number, world_size=processes)
        for name in ("all_reduce", "all_gather"):
            setattr(dist, name, counted(exchanged, getattr(dist, name)))
    for per_class in (1, 2):
        checkpoint = None if processes > 1 else folder / f"checkpoint{per_class}.pt"
        labelers = list(train(per_class, number, processes, checkpoint, killed_after))
        torch.save([labeler.state_dict() for labeler in labelers], folder / f"states{per_class}-{number}.pt")
    torch.save(exchanged, folder / f"exchanged{number}.pt")
    if processes > 1:
        dist.destroy_process_group()  # gloo's threads may abort a process that ends without


def main(folder, processes, killed_after):
    print(*in_forks(work, [(folder, number, processes, killed_after) for number in range(processes)]))


def run(forks, folder, processes=1, killed_after=0):
    """Runs all processes to their end; gives their exit statuses."""
    arguments = map(str, (folder, processes, killed_after))
    return [int(status) for status in forks.finish("-m", "tests.labelers.test_labeler_processes", *arguments).split()]


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


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
