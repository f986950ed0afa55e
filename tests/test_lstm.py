"""The LSTM: two ways to write a cell, a stack with PyTorch's outputs and gradients, and errors."""

import copy
import io
import warnings
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from properties import often
from twins import apart, as_ours, bound, dtypes, gradients, seeds, size, sizes_of_a_stack
from rnnlm.chapter import StopAfter, chapter_learner, fit
from rnnlm.lstm import LSTM, FourGateLSTMCell, LoopLSTM, LSTMCell, merge_gates, swap_blocks
from rnnlm.lstm_lm import LMModel6
from rnnlm.replicate.experiment import train_learner
from rnnlm.tables import curves, reference


class CutLSTM(LoopLSTM):
    "Wrong: no gradient goes through the cell state from step to step"

    def layer(self, cell, x, h, c):
        outs = []
        for x_t in x.unbind(1):
            h, (_, c) = cell(x_t, (h, c.detach() if outs else c))
            outs.append(h)
        return torch.stack(outs).transpose(0, 1), h, c


def results(net, x, hx):
    "Output, both states, and the gradients of input, first states and weights, by name"
    xs = [o.clone().requires_grad_() for o in (x, *hx)]
    out = net(xs[0], tuple(xs[1:]))
    # PyTorch's cell doesn't give the output apart
    y, (h, c) = (out[0], out) if isinstance(net, nn.LSTMCell) else out
    grads, names = gradients(net, (y, h, c), xs)
    return dict(zip(['output', 'h', 'c', 'of x', 'of h', 'of c', *names], [y, h, c, *grads]))


def gaps(ours, theirs, x, hx):
    "How far apart all of it is"
    found, wanted = results(ours, x, hx), results(theirs, x, hx)
    table = {}
    for name, b in wanted.items():
        if name.startswith(('weight', 'bias')):
            name, b = as_ours(name), swap_blocks(b)
        table[name] = apart(found.pop(name), b)
    assert not found
    return table


def inputs(dtype, bs, ni, nh, *layers, sl=()):
    "Input and both first states"
    x = torch.randn(bs, *sl, ni, dtype=dtype)
    return x, torch.randn(2, *layers, bs, nh, dtype=dtype).unbind()


def unswapped(net):
    "With the blocks in PyTorch's order, as if nothing had been exchanged"
    wrong = copy.deepcopy(net)
    with torch.no_grad():
        for p in wrong.parameters():
            p.copy_(swap_blocks(p))
    return wrong


# activations


@often
@given(st.floats(-20, 20))
def test_tanh_is_a_rescaled_sigmoid(x):
    x = torch.tensor(x, dtype=torch.float64)
    assert abs(2 * torch.sigmoid(2 * x) - 1 - x.tanh()) <= 1e-14
    assert abs(x) < 0.1 or abs(2 * torch.sigmoid(x) - 1 - x.tanh()) > 1e-9 or abs(x) > 15


@often
@given(st.floats(-20, 20).filter(lambda x: abs(x) > 1e-3))
def test_the_printed_fraction_is_coth(x):
    "It is never between -1 and 1, where tanh always is"
    x = torch.tensor(x, dtype=torch.float64)
    printed = (x.exp() + (-x).exp()) / (x.exp() - (-x).exp())
    assert abs(printed) >= 1 and apart(printed, 1 / x.tanh()) < 1e-9


# two ways to write a cell


@often
@given(ni=size, nh=size, bs=size, seed=seeds)
def test_four_layers_are_one(ni, nh, bs, seed):
    "`merge_gates` copies; without the right order of its blocks nothing agrees"
    torch.manual_seed(seed)
    four = FourGateLSTMCell(ni, nh).double()
    one = merge_gates(four)
    x, state = inputs(torch.float64, bs, ni, nh)
    wanted, found, wrong = [m(x, state)[1] for m in (four, one, unswapped(one))]
    assert max(map(apart, found, wanted)) < 1e-13
    assert max(map(apart, wrong, wanted)) > 1e-9
    assert one.hh.bias.abs().max() == 0
    with torch.no_grad():
        one.ih.weight.add_(1)
    assert torch.equal(four(x, state)[0], wanted[0])  # no memory is shared


@often
@given(ni=size, nh=size)
def test_how_many_weights(ni, nh):
    def count(m):
        return sum(p.numel() for p in m.parameters())

    assert count(FourGateLSTMCell(ni, nh)) == 4 * (nh * (ni + nh) + nh)
    assert count(LSTMCell(ni, nh)) == 4 * (nh * (ni + nh) + 2 * nh) == count(nn.LSTMCell(ni, nh))
    assert count(LSTM(ni, nh, 3)) == count(nn.LSTM(ni, nh, 3))


@pytest.mark.parametrize('forget,write,output', [(1, 0, 0), (1, 0, 1), (0, 1, 1), (0, 0, 1)])
@pytest.mark.parametrize('merged', [False, True])
def test_gates_held_by_their_biases(forget, write, output, merged):
    "Keep, hide, replace, wipe"
    torch.manual_seed(0)
    cell = FourGateLSTMCell(3, 4).double()
    held = {cell.forget_gate: forget, cell.input_gate: write, cell.output_gate: output}
    for gate, at in held.items():
        nn.init.constant_(gate.bias, 1e3 * (2 * at - 1))
    x, (h, c) = inputs(torch.float64, 2, 3, 4)
    new = forget * c + write * cell.cell_gate(torch.cat([x, h], 1)).tanh()
    cell = merge_gates(cell) if merged else cell
    out, (h1, c1) = cell(x, (h, c))
    assert torch.allclose(c1, new) and torch.allclose(h1, output * new.tanh())
    assert torch.equal(out, h1)


def test_stack_does_not_join():
    "As the chapter printed it: a new dimension, which no gate can read"
    x, h = torch.randn(2, 4), torch.randn(2, 4)
    gate = FourGateLSTMCell(4, 4).forget_gate
    assert torch.stack([x, h], 1).shape == (2, 2, 4) and torch.cat([x, h], 1).shape == (2, 8)
    assert gate(torch.cat([x, h], 1)).shape == (2, 4)
    with pytest.raises(RuntimeError, match='shapes cannot be multiplied'):
        gate(torch.stack([x, h], 1))


# as PyTorch's


@often
@given(dtype=dtypes, bs=size, ni=size, nh=size, seed=seeds)
def test_a_cell_is_pytorchs(dtype, bs, ni, nh, seed):
    torch.manual_seed(seed)
    theirs = nn.LSTMCell(ni, nh).to(dtype)
    x, hx = inputs(dtype, bs, ni, nh)
    assert max(gaps(LSTMCell.from_torch(theirs), theirs, x, hx).values()) < bound[dtype]


@pytest.mark.parametrize('cls', [LoopLSTM, LSTM])
@often
@given(**sizes_of_a_stack)
def test_a_stack_is_pytorchs(cls, dtype, bs, sl, ni, nh, n_layers, batch_first, seed):
    torch.manual_seed(seed)
    theirs = nn.LSTM(ni, nh, n_layers, batch_first=batch_first).to(dtype)
    x, hx = inputs(dtype, bs, ni, nh, n_layers, sl=(sl,))
    x = x if batch_first else x.transpose(0, 1)
    assert max(gaps(cls.from_torch(theirs), theirs, x, hx).values()) < bound[dtype]


@pytest.mark.parametrize('cls', [LoopLSTM, LSTM])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('n_layers', [1, 3])
def test_the_chapters_batch(cls, dtype, n_layers):
    torch.manual_seed(0)
    theirs = nn.LSTM(6, 8, n_layers, batch_first=True).to(dtype)
    x, hx = inputs(dtype, 64, 6, 8, n_layers, sl=(16,))
    assert max(gaps(cls.from_torch(theirs), theirs, x, hx).values()) < bound[dtype]


def test_a_wrong_order_is_seen():
    "The control: nothing but the size of the numbers stays"
    torch.manual_seed(0)
    theirs = nn.LSTMCell(5, 7).double()
    x, hx = inputs(torch.float64, 3, 5, 7)
    wrong = gaps(unswapped(LSTMCell.from_torch(theirs)), theirs, x, hx)
    assert min(wrong.values()) > 0.01


def test_a_missing_gradient_is_seen():
    "The control: outputs and states as they should be, every gradient wrong"
    torch.manual_seed(0)
    theirs = nn.LSTM(6, 8, batch_first=True).double()
    x, hx = inputs(torch.float64, 3, 6, 8, 1, sl=(5,))
    found = gaps(CutLSTM.from_torch(theirs), theirs, x, hx)
    states = [found.pop(name) for name in ('output', 'h', 'c')]
    assert max(states) < 1e-12 and min(found.values()) > 0.01


@often
@given(ni=size, nh=size, n_layers=st.integers(1, 3), dtype=dtypes, seed=seeds)
def test_weights_there_and_back(ni, nh, n_layers, dtype, seed):
    torch.manual_seed(seed)
    made = [LSTMCell(ni, nh), LoopLSTM(ni, nh, n_layers), LSTM(ni, nh, n_layers)]
    for m in made:
        m = m.to(dtype)
        other = m.to_torch()
        back = type(m).from_torch(other)
        assert type(back) is type(m)
        for p, q in zip(m.parameters(), back.parameters(), strict=True):
            assert torch.equal(p, q) and q.dtype == dtype and q.requires_grad
        with torch.no_grad():
            for p in other.parameters():
                p.add_(1)
        for p, q in zip(m.parameters(), back.parameters()):
            assert torch.equal(p, q)  # no memory is shared


@often
@given(n=size, more=st.lists(size, max_size=2), seed=seeds)
def test_swapping_twice_changes_nothing(n, more, seed):
    torch.manual_seed(seed)
    w = torch.randn(4 * n, *more)
    swapped = swap_blocks(w)
    assert torch.equal(swap_blocks(swapped), w) and not torch.equal(swapped, w)
    assert torch.equal(swapped[: 2 * n], w[: 2 * n]) and torch.equal(
        swapped[2 * n : 3 * n], w[3 * n :]
    )


# gradients against finite differences


def test_gradients_of_a_cell_checked_numerically():
    torch.manual_seed(0)
    cell = LSTMCell(5, 7).double()
    x, hx = inputs(torch.float64, 3, 5, 7)
    xs = [o.requires_grad_() for o in (x, *hx)]
    assert torch.autograd.gradcheck(lambda x, h, c: cell(x, (h, c))[1], xs)


@pytest.mark.parametrize('n_layers', [1, 2])
def test_gradients_of_all_weights_checked_numerically(n_layers):
    torch.manual_seed(0)
    net = LSTM(2, 3, n_layers).double()
    x, hx = inputs(torch.float64, 2, 2, 3, n_layers, sl=(3,))
    xs = [o.requires_grad_() for o in (x, *hx)]

    def flat(x, h, c, *weights):
        out, states = net(x, (h, c))
        return out, *states

    assert torch.autograd.gradcheck(flat, (*xs, *net.parameters()))


# in use


@often
@given(sl=st.integers(2, 8), cut=st.integers(1, 7), n_layers=st.integers(1, 3), seed=seeds)
def test_a_state_that_is_carried_over(sl, cut, n_layers, seed):
    "A text in two pieces is one text"
    torch.manual_seed(seed)
    net, cut = LSTM(6, 8, n_layers).double(), min(cut, sl - 1)
    x, hx = inputs(torch.float64, 3, 6, 8, n_layers, sl=(sl,))
    out, state = net(x, hx)
    first, carried = net(x[:, :cut], hx)
    rest, last = net(x[:, cut:], carried)
    assert apart(torch.cat([first, rest], 1), out) < 1e-12
    assert max(map(apart, last, state)) < 1e-12
    assert apart(net(x[:, cut:])[0], rest) > 1e-6  # without it, something else


def test_without_gradients_and_copied():
    torch.manual_seed(0)
    net = LSTM(6, 8, 2)
    x, hx = inputs(torch.float32, 3, 6, 8, 2, sl=(5,))
    out, _ = net(x, hx)
    with torch.no_grad():
        assert torch.equal(copy.deepcopy(net).eval()(x, hx)[0], out)


def test_saved_weights_fit_the_loop():
    torch.manual_seed(0)
    net, loop = LSTM(6, 8, 2), LoopLSTM(6, 8, 2)
    x, hx = inputs(torch.float32, 3, 6, 8, 2, sl=(5,))
    assert apart(loop(x, hx)[0], net(x, hx)[0]) > 0.01
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    loop.load_state_dict(torch.load(file, weights_only=True))
    assert apart(loop(x, hx)[0], net(x, hx)[0]) < 1e-6
    names = [
        f'cells.{k}.{part}.{kind}'
        for k in (0, 1)
        for part in ('ih', 'hh')
        for kind in ('weight', 'bias')
    ]
    assert list(net.state_dict()) == names


def test_a_stack_says_its_sizes():
    assert repr(LSTM(6, 8, 2)).startswith('LSTM(\n  6, 8, n_layers=2\n')


@pytest.mark.parametrize('kind', [LSTM, nn.LSTM])
def test_first_weights_are_drawn_alike(kind):
    "Evenly from -1/8 to 1/8 at a width of 64"
    torch.manual_seed(0)
    w = torch.cat([p.detach().flatten() for p in kind(64, 64, 2).parameters()]) * 64**0.5
    for found, wanted in ((w.min(), -1), (w.max(), 1), (w.std(), 3**-0.5)):
        assert abs(found - wanted) < 0.01


# what raises an error

net = LSTM(6, 8, 2)
x, hx = inputs(torch.float32, 3, 6, 8, 2, sl=(5,))
loose = nn.LSTM(6, 8, 2, batch_first=True, dropout=0.1)
refused = {
    'two dimensions': (
        lambda: net(x[0]),
        ValueError,
        'x: must be bs × sl × 6, not of shape (5, 6); a batch of one sequence is x[None]',
    ),
    'two dimensions, steps first': (
        lambda: LSTM(6, 8, batch_first=False)(x[0]),
        ValueError,
        'x: must be sl × bs × 6, not of shape (5, 6); a batch of one sequence is x[:, None]',
    ),
    'no steps': (
        lambda: net(x[:, :0]),
        ValueError,
        'x: must be bs × sl × 6, not of shape (3, 0, 6)',
    ),
    'another dtype': (
        lambda: net(x.double()),
        TypeError,
        'x: must be torch.float32 like the weights, not torch.float64',
    ),
    'one state': (
        lambda: net(x, hx[0]),
        TypeError,
        'hx: must be a pair, hidden state and cell state, not Tensor',
    ),
    'a state of one layer': (
        lambda: net(x, (hx[0], hx[1][:1])),
        ValueError,
        'c: must be 2 × 3 × 8, not of shape (1, 3, 8)',
    ),
    'no layers': (
        lambda: LSTM(6, 8, 0),
        ValueError,
        'n_layers: must be a whole number of at least 1, not 0',
    ),
    'no width': (
        lambda: FourGateLSTMCell(6, 0),
        ValueError,
        'nh: must be a whole number of at least 1, not 0',
    ),
    'a cell, too few rows': (
        lambda: net.cells[0](x[:, 0], (hx[0][0, :2], hx[1][0])),
        ValueError,
        'h: must be 3 × 8, not of shape (2, 8)',
    ),
    'two directions': (
        lambda: LSTM.from_torch(nn.LSTM(6, 8, batch_first=True, bidirectional=True)),
        ValueError,
        'm: only bidirectional=False has a twin here, not True',
    ),
    'a projection': (
        lambda: LSTM.from_torch(nn.LSTM(6, 8, batch_first=True, proj_size=4)),
        ValueError,
        'm: only proj_size=0 has a twin here, not 4',
    ),
    'no biases': (
        lambda: LSTM.from_torch(nn.LSTM(6, 8, bias=False, batch_first=True)),
        ValueError,
        'm: only bias=True has a twin here, not False',
    ),
    'a cell without biases': (
        lambda: LSTMCell.from_torch(nn.LSTMCell(6, 8, bias=False)),
        ValueError,
        'm: only bias=True has a twin here, not False',
    ),
    'dropout between layers': (
        lambda: LSTM.from_torch(loose),
        ValueError,
        'm: only dropout=0 has a twin here, not 0.1',
    ),
    'a GRU cell': (
        lambda: LSTMCell.from_torch(nn.GRUCell(6, 8)),
        TypeError,
        'm: must be an nn.LSTMCell, not GRUCell',
    ),
    'merged already': (
        lambda: merge_gates(net.cells[0]),
        TypeError,
        'four: must be a FourGateLSTMCell, not LSTMCell',
    ),
    'no four blocks': (
        lambda: swap_blocks(torch.ones(6)),
        ValueError,
        'w: its rows must be four equal blocks, but its shape is (6,)',
    ),
    'a number': (
        lambda: swap_blocks(torch.tensor(1.0)),
        ValueError,
        'w: its rows must be four equal blocks, but its shape is ()',
    ),
}


@pytest.mark.parametrize('name', refused)
def test_errors_name_the_argument(name):
    call, kind, text = refused[name]
    with pytest.raises(kind) as found:
        call()
    assert str(found.value) == text


# in training


def with_memory(cls, n_words):
    "`LMModel6` on a `cls` with the weights that `nn.LSTM` was drawn with"
    model = LMModel6(n_words, 64, 2)
    with torch.random.fork_rng():
        model.rnn = cls.from_torch(model.rnn)
    return model


def first_epochs(cls, seed, n=2):
    "How far the first epochs are from those that are stored for `nn.LSTM`"

    def make():
        return chapter_learner('LMModel6', net=partial(with_memory, cls)).add_cb(StopAfter(n))

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        run = train_learner(make, partial(fit, model='LMModel6'), seed)
    held = reference('LMModel6').query('seed == @seed and epoch < @n')
    losses = curves[:2]
    return abs(run[losses].to_numpy() - held[losses].to_numpy()).max()


@pytest.mark.parametrize('seed', [1000, 1001])
def test_our_lstm_trains_as_pytorchs(seed):
    "Two processors differ by 2e-6 in these losses, wrong code by 4e-3 or more"
    assert first_epochs(LSTM, seed) < 1e-3


def test_a_cut_lstm_does_not():
    "The control: its outputs are right, and its training is not"
    assert first_epochs(CutLSTM, 1000) > 1e-3
