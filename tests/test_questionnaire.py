"""The questionnaire: its list of questions, and what its answers say that no other test asks."""

import inspect
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fastai.text.models.awdlstm import AWD_LSTM, RNNDropout, awd_lstm_lm_config
from fastai.text.models.core import get_language_model
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from properties import often
from rnnlm.ablation import compare, finals, share_wrong
from rnnlm.ar_tar import activation_reg, temporal_activation_reg
from rnnlm.chapter import chapter_learner
from rnnlm.data import human_numbers_dls
from rnnlm.dropout import Dropout
from rnnlm.errors import errors
from rnnlm.gru import GRU
from rnnlm.lstm import LSTM, FourGateLSTMCell, merge_gates
from rnnlm.lstm_lm import LMModel6
from rnnlm.rnn import LMModel5
from rnnlm.weight_tying import LMModel7

seeds, widths = st.integers(0, 2**31), st.integers(1, 8)


# the page

page = Path(__file__).parents[1] / 'nbs' / 'chapter' / '11_questionnaire.ipynb'


@pytest.fixture(scope='module')
def prose():
    "All Markdown of the page"
    cells = json.loads(page.read_text(encoding='utf-8'))['cells']
    return '\n'.join(''.join(o['source']) for o in cells if o['cell_type'] == 'markdown')


def test_every_question_is_there(prose):
    "22 questions with their numbers in the current edition, and three tasks"
    found = re.findall(r'^### (\d+)\. .*\((\d+)\)$', prose, re.M)
    assert found == [(str(n), str(n + 17)) for n in range(1, 23)]
    tasks = re.findall(r'^### ([A-Z])\. .*\(Task (\d)\)$', prose, re.M)
    assert tasks == [('A', '2'), ('B', '3'), ('C', '4')]


def test_the_first_half_is_there(prose):
    "A row for each of the 17 questions before ours, and for the first task"
    rows = re.findall(r'^\| ([\d, ]+|task \d) \|', prose, re.M)
    numbers = [n.strip() for o in rows for n in o.split(',')]
    assert numbers == [*map(str, range(1, 18)), 'task 1']


def test_every_question_has_a_folded_answer(prose):
    for part in re.split(r'^### ', prose, flags=re.M)[1:]:
        name, question = part.split('\n', 1)
        answer = question.split('<summary>Answer</summary>\n\n')
        assert len(answer) >= 2 and '\n\n</details>' in answer[1], name
        assert answer[0].strip() == '<details>', f'{name}: its answer can be read at once'
    assert prose.count('<details>') == prose.count('</details>')


# 1, 2: stacks


def turning(n_layers, seed, scale=1.0):
    "How many of 64 units turn round while the last of 16 words moves along a line"
    torch.manual_seed(seed)
    rnn = nn.RNN(1, 64, n_layers, batch_first=True).double()
    for p in rnn.parameters():
        p.data *= scale
    x = torch.randn(1, 16, 1).double().repeat(400, 1, 1)
    x[:, -1, 0] = torch.linspace(-9, 9, 400)
    steps = rnn(x)[0][:, -1].detach().diff(dim=0)
    return ((steps > 1e-9).any(0) & (steps < -1e-9).any(0)).sum().item()


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('scale', [1.0, 4.0])
def test_only_a_stack_turns_round(seed, scale):
    assert turning(1, seed, scale) == 0
    assert turning(2, seed, scale) > 0 and turning(3, seed, scale) > 0
    if scale == 4:
        assert turning(2, seed, scale) > 32


@often
@given(seed=seeds, n=widths)
def test_a_stack_is_its_layers(seed, n):
    torch.manual_seed(seed)
    stack = nn.RNN(n, n, 2, batch_first=True).double()
    layers = [nn.RNN(n, n, batch_first=True).double() for _ in range(2)]
    weights = stack.state_dict()
    for k, layer in enumerate(layers):
        layer.load_state_dict({o: weights[f'{o[:-1]}{k}'] for o in layer.state_dict()})
    x = torch.randn(3, 5, n).double()
    lower, upper = layers
    whole = stack(x)[0]
    assert torch.allclose(upper(lower(x)[0])[0], whole, atol=1e-12)
    assert not torch.allclose(lower(upper(x)[0])[0], whole, atol=1e-6)


# 3, 13: how much of a message arrives


@pytest.fixture(scope='module')
def dls():
    return human_numbers_dls(device='cpu')


@pytest.fixture(scope='module')
def text(dls):
    "64 rows of 32 words that go on, of the validation text"
    return torch.cat([xb for xb, _ in dls.valid.dataset.batches[:2]], 1)


def arrives(model, text, k=16):
    "Gradient at the word `k` steps before the last one read, as a share of the last one's"
    embedded = model.i_h(text[:, :-1]).detach().requires_grad_()
    logits = model.h_o(model.rnn(embedded)[0][:, -1])
    gradient = torch.autograd.grad(F.cross_entropy(logits, text[:, -1]), embedded)[0]
    lengths = gradient.norm(dim=2).mean(0)
    return (lengths[-1 - k] / lengths[-1]).item()


def test_the_fresh_lstm_hears_more(text):
    "More than ten times as much, and below half a percent all the same"
    shares = {}
    for kind in (LMModel5, LMModel6):
        shares[kind] = []
        for seed in range(10):
            torch.manual_seed(seed)
            shares[kind].append(arrives(kind(30, 64, 2), text))
    plain, lstm = shares.values()
    assert max(plain) < 1e-3 and max(lstm) < 0.005
    assert min(lstm) > 10 * max(plain)


def test_training_extends_the_reach(dls, text):
    "In most of five seeds, after three epochs"
    grows = []
    for seed in range(5):
        torch.manual_seed(seed)
        learn = chapter_learner('LMModel5', dls)
        fresh = arrives(learn.model, text)
        with learn.no_bar(), learn.no_logging():
            learn.fit_one_cycle(3, 3e-3)
        assert fresh < 1e-3
        grows.append(arrives(learn.model, text) / fresh)
    assert np.median(grows) > 3


def test_where_to_detach():
    every4 = 'LMModel5: state detached every 4 tokens'
    every32 = 'LMModel5: 32 rows of 32 tokens'
    losses = {o: finals(o, 'train_loss').mean() for o in ('LMModel5', every4)}
    assert 0.45 < losses['LMModel5'] / losses[every4] < 0.55
    assert compare(finals('LMModel5'), finals(every4), level=0.999, n=1)['low'] > 0
    gap = compare(finals(every32), finals('LMModel5'), n=1)
    assert gap['low'] < 0 < gap['high']


# 4: depth


def length_after(factor, n_layers=32):
    x = torch.randn(256)
    for _ in range(n_layers):
        x = factor / 16 * torch.randn(256, 256) @ x
    return x.std().item()


@pytest.mark.parametrize('factor', [0.5, 1.0, 2.0])
def test_lengths_are_powers(factor):
    torch.manual_seed(0)
    assert abs(math.log2(length_after(factor)) - 32 * math.log2(factor)) < 3


def test_two_layers_train_better_and_do_worse():
    "In the loss on the text that they know, and on a new one; every other seed is no different"
    for curve in ('train_loss', 'accuracy'):
        two, one = (finals(o, curve) for o in ('LMModel5', 'LMModel4'))
        assert compare(two, one, n=1)['high'] < 0, curve
    assert round(finals('LMModel5', 'train_loss').mean(), 3) == 0.575
    assert round(finals('LMModel4', 'train_loss').mean(), 3) == 0.621
    two = finals('LMModel5')
    control = compare(two[::2], two[1::2], level=0.999, n=1)
    assert control['low'] < 0 < control['high']


def test_a_second_layer_helps_if_nothing_else_changes():
    pairs = [('LMModel5', 'LMModel5: one layer'), ('LMModel5: ReLU', 'LMModel5: one layer of ReLU')]
    for two, one in pairs:
        gap = compare(finals(two), finals(one), n=1)
        assert gap['low'] > 0 and 0.04 < gap['difference'] < 0.05, two


def test_fading_is_a_handicap():
    gap = compare(finals('LMModel5: orthogonal start'), finals('LMModel5'), n=1)
    assert gap['low'] > 0.05


# 5, 6: floats


def test_gaps_between_floats():
    "They grow, and are the same share of the number, but for the very smallest"
    numbers = np.float32([1e-30, 1e-3, 1, 1e3, 1e8, 1e30])
    gaps = np.spacing(numbers)
    assert (np.diff(gaps) > 0).all()
    assert ((gaps / numbers > 2**-24) & (gaps / numbers <= 2**-23)).all()
    assert np.float32(2**24) + np.float32(1) == np.float32(2**24)
    assert np.float32(2**23) + np.float32(1) != np.float32(2**23)
    tiny = np.float32(1e-42)
    assert np.spacing(tiny) / tiny > 1e-4


def moved(optimizer, gradient, **kwargs):
    weight = nn.Parameter(torch.tensor(0.1))
    start = weight.item()
    weight.grad = torch.tensor(gradient)
    optimizer([weight], 3e-3, **kwargs).step()
    return start - weight.item()


def test_a_small_gradient_moves_nothing():
    assert moved(torch.optim.SGD, 1e-6) == 0 < moved(torch.optim.SGD, 1e-3)
    assert moved(torch.optim.Adam, 1e-6, eps=1e-5) > 1e-4
    assert torch.tensor(1.0) + 1e-8 == torch.tensor(1.0)


# 7, 8: two states


def test_a_slip_that_is_left_alone():
    "An open forget gate and a shut input gate keep the cell state and its gradient"
    torch.manual_seed(0)
    cell = nn.LSTMCell(4, 8)
    cell.bias_ih.data[:8] = -99
    cell.bias_ih.data[8:16] = 99
    start = torch.ones(1, 8, requires_grad=True)
    h, c, shown = torch.zeros(1, 8), start, []
    for _ in range(1000):
        h, c = cell(torch.randn(1, 4), (h, c))
        shown.append(h)
    assert torch.equal(c, start)
    assert torch.equal(torch.autograd.grad(c.sum(), start)[0], torch.ones(1, 8))
    assert torch.cat(shown).std(0).min() > 0.01


def test_what_an_lstm_returns():
    out, (h, c) = nn.LSTM(8, 8, 2, batch_first=True)(torch.randn(4, 10, 8))
    assert h.shape == c.shape == (2, 4, 8) and out.shape == (4, 10, 8)
    assert torch.equal(out[:, -1], h[-1]) and not torch.equal(out[:, -1], c[-1])


# 9 to 12: the cell


@often
@given(x=st.floats(-6, 6).filter(lambda x: abs(x) > 1e-3))
def test_tanh_is_a_sigmoid(x):
    "And the fraction as the chapter prints it is another function"
    x = torch.tensor(x, dtype=torch.float64)
    a, b = x.exp() - (-x).exp(), x.exp() + (-x).exp()
    assert abs(2 * torch.sigmoid(2 * x) - 1 - torch.tanh(x)) < 1e-14
    assert abs(a / b - torch.tanh(x)) < 1e-14
    assert abs(b / a) > 1


@often
@given(seed=seeds, ni=widths, nh=widths)
def test_a_joined_layer_is_a_sum(seed, ni, nh):
    torch.manual_seed(seed)
    h, x = torch.randn(5, nh).double(), torch.randn(5, ni).double()
    gate = nn.Linear(nh + ni, nh).double()
    of_h, of_x = gate.weight.split([nh, ni], 1)
    apart = F.linear(h, of_h, gate.bias) + F.linear(x, of_x)
    assert torch.allclose(gate(torch.cat([h, x], 1)), apart, atol=1e-12)


def test_a_gate_cannot_read_a_stack():
    h, x = torch.randn(5, 8), torch.randn(5, 8)
    with pytest.raises(RuntimeError, match='cannot be multiplied'):
        nn.Linear(16, 8)(torch.stack([h, x], 1))


@often
@given(n=st.integers(1, 40), pieces=st.integers(1, 8))
def test_chunks(n, pieces):
    "Views of one tensor, of one length but for the last, and perhaps fewer than asked for"
    t = torch.arange(n)
    chunks = t.chunk(pieces)
    lengths = [len(o) for o in chunks]
    assert sum(lengths) == n and len(chunks) <= pieces
    assert set(lengths[:-1]) <= {math.ceil(n / pieces)} and lengths[-1] <= lengths[0]
    chunks[-1][0] = 99
    assert t[n - lengths[-1]] == 99


def test_chunks_as_the_answer_has_them():
    assert [len(o) for o in torch.arange(10).chunk(4)] == [3, 3, 3, 1]
    assert [len(o) for o in torch.arange(6).chunk(4)] == [2, 2, 2]


@often
@given(seed=seeds, ni=widths, nh=widths)
def test_two_ways_to_write_a_cell(seed, ni, nh):
    torch.manual_seed(seed)
    four = FourGateLSTMCell(ni, nh).double()
    x, h, c = (torch.randn(5, n).double() for n in (ni, nh, nh))
    states = zip(four(x, (h, c))[1], merge_gates(four)(x, (h, c))[1])
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in states)


# 13: the learning rate


def test_both_take_the_higher_rate():
    "The plain network gains a little, the LSTM much"
    plain = compare(finals('LMModel5: learning rate 0.01'), finals('LMModel5'), n=1)
    lstm = compare(finals('LMModel6'), finals('LMModel6: learning rate 0.003'), n=1)
    assert plain['low'] > 0
    assert lstm['low'] > 0.05 and lstm['low'] > plain['high']
    for rate in (': learning rate 0.003', ''):
        tanh = finals('LMModel5: learning rate 0.01' if rate == '' else 'LMModel5')
        assert compare(finals(f'LMModel6{rate}'), tanh, n=1)['low'] > 0


# 14 to 19: dropout


def test_the_three_regularizers(dls):
    learn = chapter_learner('LMModel7', dls)
    assert learn.model.drop.p == 0.4
    assert (learn.rnn_regularizer.alpha, learn.rnn_regularizer.beta) == (2.0, 1.0)


def test_dropout_draws_anew_and_keeps_the_mean():
    torch.manual_seed(0)
    drop, ones = Dropout(0.4), torch.ones(1000, 1000)
    a, b = drop(ones) == 0, drop(ones) == 0
    assert abs(a.float().mean() - 0.4) < 0.01
    assert abs((a & b).float().mean() - 0.4**2) < 0.01
    assert abs((a == b).float().mean() - 0.52) < 0.01
    x = torch.randn(1000, 1000) + 1
    y = drop(x)
    assert abs(y.mean() - x.mean()) < 0.01
    assert abs(y.pow(2).mean() / x.pow(2).mean() - 1 / 0.6) < 0.01
    assert not torch.equal(drop(x), drop(x))
    drop.eval()
    assert drop(x) is x


def test_bernoulli():
    torch.manual_seed(0)
    assert abs(torch.full((1000, 1000), 7.0).bernoulli_(0.6).mean() - 0.6) < 0.01
    certain = torch.tensor([0.0, 1.0])
    assert torch.equal(torch.bernoulli(certain), certain)
    assert torch.equal(certain.clone().bernoulli_(1.0), torch.ones(2))
    with pytest.raises(RuntimeError, match='1.5'):
        torch.empty(2).bernoulli_(1.5)


def test_modes_are_flags():
    model, x = LMModel7(30, 64, 2, 0.4), torch.randint(0, 30, (4, 10))
    assert {o.training for o in model.modules()} == {True}
    assert {o.training for o in model.eval().modules()} == {False}
    assert model(x)[0].requires_grad


# 20 to 22: penalties and tying


def test_ar_pulls_at_what_was_read():
    torch.manual_seed(0)
    model, x = LMModel7(30, 64, 2, 0.4), torch.arange(20).view(4, 5) % 5
    dropped = model(x)[2]
    ar = activation_reg(dropped, 2.0)
    ar.backward()
    squares = [o * o for o in dropped.flatten().tolist()]
    assert ar.item() == pytest.approx(2 * sum(squares) / len(squares), rel=1e-5)
    pulled = model.i_h.weight.grad.abs().sum(1) > 0
    assert pulled.nonzero()[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert (model.i_h.weight.abs().sum(1) > 0).all()


@often
@given(seed=seeds)
def test_only_tar_sees_the_order(seed):
    torch.manual_seed(seed)
    h = torch.randn(4, 100, 8).cumsum(1)
    mixed = h[:, torch.randperm(100)]
    tar = temporal_activation_reg
    by_formula = 3 * (h[:, 1:] - h[:, :-1]).pow(2).mean()
    assert torch.allclose(tar(h, 3.0), by_formula, rtol=1e-4)
    assert activation_reg(mixed) / activation_reg(h) == pytest.approx(1, rel=1e-4)
    assert tar(mixed) > 5 * tar(h)


def test_tar_wants_steps():
    with pytest.raises(ValueError, match='must be bs × sl'):
        temporal_activation_reg(torch.randn(64, 512))


def test_tied_is_one_parameter():
    tied, apart = LMModel7(30, 64, 2, 0.4), LMModel6(30, 64, 2)
    assert tied.h_o.weight is tied.i_h.weight and apart.h_o.weight is not apart.i_h.weight
    sizes = [sum(p.numel() for p in o.parameters()) for o in (apart, tied)]
    assert sizes[0] - sizes[1] == 30 * 64 == 1920


# A to C: tasks


def lstm_step(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = (x @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


@often
@given(seed=seeds, ni=widths, nh=widths)
def test_an_lstm_from_scratch(seed, ni, nh):
    torch.manual_seed(seed)
    cell = nn.LSTMCell(ni, nh).double()
    x, h, c = (torch.randn(5, n).double() for n in (ni, nh, nh))
    states = zip(lstm_step(x, h, c, *cell.parameters()), cell(x, (h, c)))
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in states)


def test_our_lstm_is_pytorchs():
    theirs, x = nn.LSTM(8, 8, 2, batch_first=True), torch.randn(4, 16, 8)
    assert (LSTM.from_torch(theirs)(x)[0] - theirs(x)[0]).abs().max() < 1e-6


def test_two_kinds_of_gru():
    "From one seed: ours is PyTorch's, and the paper's is another network"

    def said_by(kind, **kwargs):
        torch.manual_seed(0)
        rnn = kind(8, 8, 2, **kwargs)
        return rnn(torch.randn(4, 16, 8))[0]

    theirs = said_by(nn.GRU, batch_first=True)
    assert (said_by(GRU) - theirs).abs().max() < 1e-6
    assert (said_by(GRU, reset_after=False) - theirs).abs().max() > 0.01
    assert compare(finals('LMModel6: GRU'), finals('LMModel6'), n=1)['low'] > 0
    assert round(finals('LMModel6: GRU').mean(), 2) == 0.80


def test_the_ideas_in_fastais_awd_lstm():
    torch.manual_seed(0)
    config = awd_lstm_lm_config | dict(emb_sz=8, n_hid=8, n_layers=2, output_p=0.5)
    model = get_language_model(AWD_LSTM, 30, config)
    _, raw, dropped = model(torch.randint(0, 30, (4, 10)))
    mask = RNNDropout(0.5)(torch.ones(4, 10, 8))
    assert torch.equal(mask, mask[:, :1].expand_as(mask))
    assert set(mask.unique().tolist()) == {0.0, 2.0}
    encoder, decoder = model[0], model[1]
    assert decoder.decoder.weight is encoder.encoder.weight
    states = [o for layer in encoder.hidden for o in layer]
    assert not any(o.requires_grad for o in states)
    assert sum(o.abs().sum() for o in states) > 0
    assert (dropped == 0).any() and (raw != 0).all()
    model.reset()
    assert sum(o.abs().sum() for layer in encoder.hidden for o in layer) == 0


def test_what_the_table_of_sources_names():
    "The parts that the answer to task C names are in the files that it names"
    import fastai.callback.rnn as rnn
    import fastai.text.models.awdlstm as awdlstm
    import fastai.text.models.core as core

    names = ['dropout_mask', 'RNNDropout', 'WeightDropout', 'EmbeddingDropout', 'AWD_LSTM']
    parts = [*[(awdlstm, o) for o in names], (core, 'LinearDecoder'), (rnn, 'RNNRegularizer')]
    for module, name in parts:
        assert inspect.getsourcefile(getattr(module, name)) == module.__file__, name
    assert {'forward', 'reset', '__init__'} <= set(vars(awdlstm.AWD_LSTM))


# the exercises


def test_what_each_step_repairs():
    by_role = errors().groupby(['model', 'role']).accuracy.mean().unstack()
    middle = ['hundreds digit', 'tens', 'units']
    assert (by_role.loc['LMModel5', middle] < by_role.loc['LMModel4', middle]).all()
    assert (by_role.loc['LMModel6', middle] > by_role.loc['LMModel5', middle] + 0.3).all()
    assert (by_role.loc['LMModel7', middle] - 0.95).abs().max() < 0.02
    digit = by_role['thousands digit']
    assert digit[['LMModel4', 'LMModel5', 'LMModel6']].max() < 0.03
    assert round(digit['LMModel7'], 2) == 0.36
    share = errors().query('role == "thousands digit"').share
    assert ((1 - share).round(3) == 0.848).all()


def test_how_many_runs_it_takes():
    "A pair is wrong one time in twenty, means of four less than once in a thousand"
    one, two = finals('LMModel4'), finals('LMModel5')
    assert 0.04 < share_wrong(one, two) < 0.06
    rng = np.random.default_rng(0)
    wrong = []
    for n in (3, 4):
        a, b = (rng.choice(o, (400_000, n)).mean(1) for o in (one, two))
        wrong.append((a <= b).mean())
    assert wrong[0] > 1e-3 > wrong[1]
    assert abs(np.mean([one.std(), two.std()]) - 0.037) < 0.001


def test_an_lstm_and_a_plain_network_of_relu():
    relu = finals('LMModel5: ReLU')
    slow = compare(finals('LMModel6: learning rate 0.003'), relu, n=1)
    fast = compare(finals('LMModel6'), relu, n=1)
    assert round(slow['difference'], 1) == -0.1 and slow['high'] < 0
    assert round(fast['difference'], 2) == 0.02 and fast['low'] > 0
