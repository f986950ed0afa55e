"""What the tests of our recurrent layers beside PyTorch's share."""

import torch


def apart(a, b):
    "Largest difference, as a share of the largest entry or of one"
    return ((a - b).abs().max() / b.abs().max().clamp(min=1)).item()


def gradients(net, outputs, inputs):
    "The gradients of the inputs and of the weights, and the names of the weights"
    loss = 0
    for o in outputs:
        # weights of one sign, so that no gradient is small by cancelling
        loss = loss + (o * torch.linspace(0.5, 1, o.numel()).to(o).view_as(o)).sum()
    names, weights = zip(*net.named_parameters())
    return torch.autograd.grad(loss, [*inputs, *weights]), names


def as_ours(name):
    "The name that we give to a weight of PyTorch's, such as `weight_ih_l0` or `bias_hh`"
    kind, part, *layer = name.split('_')
    cell = f'cells.{layer[0][1:]}.' if layer else ''
    return f'{cell}{part}.{kind}'
