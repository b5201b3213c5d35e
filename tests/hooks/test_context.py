import pytest
import torch
from torch import nn

from dmsrl_adapt.hooks import MarginMetricHook
from dmsrl_adapt.hooks.context import domain_numbers, num_domains, read, read_augmented, read_progress
from dmsrl_adapt.losses import AdversarialMILoss


def test_two_domains_unless_a_layer_says_otherwise_however_it_is_wrapped():
    assert num_domains(nn.Linear(2, 1)) == 2
    assert num_domains(AdversarialMILoss(2)) == 2
    assert num_domains(nn.Sequential(nn.Identity(), AdversarialMILoss(2, num_domains=4))) == 4


def test_source_rows_come_first():
    context = {"src_imgs_features": torch.zeros(2, 5), "target_imgs_features": torch.zeros(3, 5)}
    assert domain_numbers(context).tolist() == [0, 0, 1, 1, 1]
    assert domain_numbers({**context, "src_imgs_features": torch.zeros(0, 5)}).tolist() == [1, 1, 1]


def test_a_missing_key_error_names_the_hook_and_the_keys():
    with pytest.raises(KeyError, match=r"MarginMetricHook needs 'src_labels' in the context, got \['G', 'src_imgs'\]"):
        read(MarginMetricHook(), {"src_imgs": 1, "G": 2}, "src_labels")


def test_progress_is_one_by_default():
    assert read_progress({}) == 1.0
    assert read_progress({"progress": 0.25}) == 0.25


@pytest.mark.parametrize("progress", [-0.1, 1.1, float("nan")])
def test_progress_out_of_range(progress):
    with pytest.raises(ValueError, match=rf"'progress' must be in 0\.\.1, got {progress}"):
        read_progress({"progress": progress})


def test_augmented_images_of_the_batch_are_returned():
    images = torch.zeros(2, 3, 4, 4)
    assert read_augmented({}, "src", images) is None
    assert read_augmented({"src_imgs_augmented": images}, "src", torch.ones(2, 3, 4, 4)) is images


def test_augmented_images_must_have_type_and_shape_of_the_images():
    images = torch.zeros(2, 3, 4, 4)
    for augmented in (images.double(), [images]):
        with pytest.raises(TypeError, match=r"'src_imgs_augmented' must be a tensor of torch.float32 as 'src_imgs' is"):
            read_augmented({"src_imgs_augmented": augmented}, "src", images)
    with pytest.raises(ValueError, match=r"shape of 'src_imgs', \(2, 3, 4, 4\), got \(1, 3, 4, 4\)"):
        read_augmented({"src_imgs_augmented": images[:1]}, "src", images)
