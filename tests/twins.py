"""What the tests of our recurrent layers beside PyTorch's share."""

import torch
from hypothesis import strategies as st

# made up by Hypothesis, and how far two layers may then be apart
size = st.integers(1, 8)
seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from([torch.float32, torch.float64])
bound = {torch.float32: 1e-5, torch.float64: 1e-10}
sizes_of_a_stack = dict(
    dtype=dtypes,
    bs=size,
    sl=size,
    ni=size,
    nh=size,
    n_layers=st.integers(1, 3),
    batch_first=st.booleans(),
    seed=seeds,
)


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
