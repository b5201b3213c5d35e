import torch
from torch import nn

from dmsrl_adapt.hooks.domains import domain_numbers, num_domains
from dmsrl_adapt.losses import AdversarialMILoss


def test_two_domains_unless_a_layer_says_otherwise_however_it_is_wrapped():
    assert num_domains(nn.Linear(2, 1)) == 2
    assert num_domains(AdversarialMILoss(2)) == 2
    assert num_domains(nn.Sequential(nn.Identity(), AdversarialMILoss(2, num_domains=4))) == 4


def test_source_rows_come_first():
    context = {"src_imgs_features": torch.zeros(2, 5), "target_imgs_features": torch.zeros(3, 5)}
    assert domain_numbers(context).tolist() == [0, 0, 1, 1, 1]
    assert domain_numbers({**context, "src_imgs_features": torch.zeros(0, 5)}).tolist() == [1, 1, 1]
