"""The chapter's slips fail as the errata say, and what they say of stored runs is true."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import fastai.callback.rnn
import numpy as np
import pandas as pd
import pytest
import torch
from fastai.callback.rnn import RNNRegularizer as FastaiRegularizer
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from properties import often
from rnnlm.ablation import compare, finals, share_wrong
from rnnlm.ar_tar import activation_reg, temporal_activation_reg
from rnnlm.chapter import check_run
from rnnlm.digits import run_at
from rnnlm.dropout import Dropout, EmbeddingDropout, LockedDropout
from rnnlm.errors import errors
from rnnlm.lstm_lm import LMModel6
from rnnlm.readers import known
from rnnlm.tables import curves, published, reader, reference
from rnnlm.weight_tying import LMModel7

size = st.integers(1, 9)
chapter = Path(__file__).parent.parent / 'nbs' / 'chapter'
cells = json.loads((chapter / '12_errata.ipynb').read_text(encoding='utf-8'))['cells']
text = '\n\n'.join(''.join(o['source']) for o in cells if o['cell_type'] == 'markdown')


# code that was printed


@often
@given(bs=size, n=size, more=st.integers(1, 9))
def test_stack_wants_equal_widths_and_cat_does_not(bs, n, more):
    h, wider = torch.randn(bs, n), torch.randn(bs, n + more)
    assert torch.cat([h, wider], 1).shape == (bs, 2 * n + more)
    with pytest.raises(RuntimeError, match='equal size'):
        torch.stack([h, wider], 1)


def test_a_wrong_name_fails_when_it_is_called():
    def last_line(c):
        out = torch.sigmoid(c)
        return outgate * torch.tanh(c)  # noqa: F821

    with pytest.raises(NameError, match="name 'outgate' is not defined"):
        last_line(torch.zeros(3))


@often
@given(bs=size, n=st.integers(2, 9), more=st.integers(1, 9))
def test_a_gate_is_as_wide_as_the_state(bs, n, more):
    forget, c, x = torch.rand(bs, n), torch.randn(bs, n), torch.randn(bs, n + more)
    assert (forget * c).shape == (bs, n)
    with pytest.raises(RuntimeError, match='must match the size'):
        forget * x


def lstm(n_layers, state):
    net = nn.LSTM(8, 8, n_layers, batch_first=True)
    return net(torch.randn(4, 5, 8), state)[0]


@pytest.mark.parametrize('n_layers', [1, 2, 3, 4])
def test_the_printed_state_is_right_for_two_layers_only(n_layers):
    mended = [torch.zeros(n_layers, 4, 8) for _ in range(2)]
    assert lstm(n_layers, mended).shape == (4, 5, 8)
    printed = [torch.zeros(2, 4, 8) for _ in range(n_layers)]
    if n_layers == 2:
        assert lstm(n_layers, printed).shape == (4, 5, 8)
    else:
        with pytest.raises((RuntimeError, IndexError)):
            lstm(n_layers, printed)
    ids = torch.randint(30, (4, 5))
    assert LMModel6(30, 8, n_layers)(ids).shape == (4, 5, 30)


@often
@given(made=size, used=size)
def test_a_state_of_one_batch_size(made, used):
    rnn, state = nn.RNN(8, 8, 2, batch_first=True), torch.zeros(2, made, 8)
    model, x = LMModel6(30, 8, 2), torch.randn(used, 5, 8)
    sizes = (made, used, made)
    assert [len(model(torch.randint(30, (bs, 5)))) for bs in sizes] == list(sizes)
    if made == used:
        assert rnn(x, state)[0].shape == (used, 5, 8)
    else:
        with pytest.raises(RuntimeError, match='hidden'):
            rnn(x, state)


def test_a_plain_attribute_stays_behind():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.h, self.weight = torch.zeros(2, 64, 8), nn.Parameter(torch.zeros(1))

    moved = Fixed().double()
    assert moved.weight.dtype == torch.float64 and moved.h.dtype == torch.float32
    model = LMModel6(30, 8, 2)
    model(torch.randint(30, (4, 5)))
    assert model.double()(torch.randint(30, (4, 5))).dtype == torch.float64


class Printed(nn.Module):
    "The chapter's dropout in training: `p` is found among the globals, if at all"

    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        return x * torch.empty_like(x).bernoulli_(1 - p) / (1 - p)


def test_p_is_not_self_p(monkeypatch):
    with pytest.raises(NameError, match="name 'p' is not defined"):
        Printed(0.1)(torch.ones(8))
    monkeypatch.setitem(globals(), 'p', 0.9)
    torch.manual_seed(0)
    x = torch.ones(10_000)
    kept = [f(0.1)(x).ne(0).float().mean().item() for f in (Printed, Dropout)]
    assert kept == pytest.approx([0.1, 0.9], abs=0.02)  # over six standard deviations


def test_which_names_fastai_has():
    names = ('ModelReseter', 'ModelResetter', 'RNNRegularization', 'RNNRegularizer')
    assert [hasattr(fastai.callback.rnn, o) for o in names] == [False, True, False, True]


def test_two_dropouts_are_not_in_one_place():
    "One takes a word everywhere, the other some units of all words"
    table, ids = nn.Embedding(30, 64), torch.tensor([[0, 2, 0, 3, 0]])
    torch.manual_seed(0)
    rows = torch.cat([EmbeddingDropout(table, 0.5)(ids).eq(0).float().mean(2) for _ in range(50)])
    assert set(rows.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(rows[:, 0], rows[:, 2]) and torch.equal(rows[:, 0], rows[:, 4])
    assert not torch.equal(rows[:, 0], rows[:, 1])
    units = LockedDropout(0.5)(table(ids))[0].eq(0)
    assert 0 < units.sum() < units.numel() and units.eq(units[0]).all()


@pytest.mark.parametrize('seed', range(5))
def test_the_order_of_the_text_swaps_the_penalties(seed):
    "Raw comes first: fastai takes the second output for it, and TAR must not see the mask"
    torch.manual_seed(seed)
    _, raw, out = LMModel7(30, 64, 2, 0.4)(torch.randint(30, (64, 16)))
    assert raw.ne(0).all() and 0.35 < out.eq(0).float().mean() < 0.45
    assert temporal_activation_reg(out) > 3 * temporal_activation_reg(raw)
    assert activation_reg(out) > 1.3 * activation_reg(raw)
    callback = fastai.callback.rnn.RNNCallback()
    callback.learn = SimpleNamespace(pred=(out, raw, out))
    callback.after_pred()
    assert callback.raw_out is raw and callback.out is out


def test_products_of_two_and_of_a_half_are_exact_until_the_range_ends():
    one = torch.tensor(1.0)
    for factor, last in ((0.5, 149), (2.0, 127)):
        powers = [(one * factor**k).item() for k in range(1, last + 1)]
        assert powers == [factor**k for k in range(1, last + 1)]
    assert (one * 0.5**150).item() == 0 and (one * 2.0**128).isinf()


@pytest.mark.parametrize('rows, fastais', [(2, 4), (1, 0)])
def test_a_single_row(rows, fastais):
    h = torch.tensor([-1.0, 1.0]).repeat(8)[:, None].expand(rows, 16, 1)
    callback = FastaiRegularizer(alpha=0, beta=1)
    rnn = SimpleNamespace(raw_out=h)
    callback.learn = SimpleNamespace(training=True, loss_grad=torch.tensor(0.0), rnn=rnn)
    callback.after_loss()
    assert callback.learn.loss_grad == fastais and temporal_activation_reg(h, 1) == 4


# numbers that were printed


def test_half_a_dropout_is_not_seen_and_a_momentum_is():
    "By the end; the training loss gives both away"
    half, other = [f'LMModel7: {o}' for o in ('dropout 0.5', 'momentum of Learner')]
    c = compare(finals(half), finals('LMModel7'), n=1)
    assert -0.013 < c['low'] < 0 < c['high'] < 0.007
    c = compare(finals(other), finals('LMModel7'), n=1)
    assert c['high'] < -0.005 and c['difference'] == pytest.approx(-0.02, abs=0.001)
    for name in (half, other):
        assert not check_run(reference(name), 'LMModel7').agrees['train_loss']
    assert check_run(reference(half), 'LMModel7').agrees['accuracy']
    assert not check_run(reference(other), 'LMModel7').agrees['accuracy']


pairs = [
    ('LMModel5', 'LMModel4', 0.152, 0.088, 0.051),
    ('LMModel5', 'LMModel6', 0.271, 0.206, 0.002),
    ('LMModel4', 'LMModel6', 0.118, 0.118, 0.020),
    ('LMModel6', 'LMModel7', 0.111, 0.139, 0.000),
]


@pytest.mark.parametrize('worse, better, printed, mean, opposite', pairs)
def test_one_run_of_each(worse, better, printed, mean, opposite):
    ends = [published(o).accuracy.iloc[-1] for o in (worse, better)]
    found = (
        ends[1] - ends[0],
        finals(better).mean() - finals(worse).mean(),
        share_wrong(finals(better), finals(worse)),
    )
    assert np.allclose(found, (printed, mean, opposite), rtol=0, atol=0.0006)


def test_fifteen_epochs_each_and_six_would_do():
    assert len(published('LMModel5')) == len(published('LMModel6')) == 15
    by_epoch = reference('LMModel6').groupby('epoch').accuracy.mean()
    assert by_epoch.gt(finals('LMModel5').mean()).idxmax() == 5


def test_the_printed_table_1_is_a_second_run():
    rows = [run_at(n, 'LMModel5', epochs=1).loc[0, curves] for n in (0, 20_570)]
    apart = [(o - published('LMModel5').loc[0, curves]).abs().max() for o in rows]
    assert apart[0] > 0.005 and apart[1] < 1e-4


def test_a_reader_of_2021_had_no_penalties():
    found = []
    for options in ({}, dict(alpha=0.0, beta=0.0)):
        row = run_at(193_746, 'LMModel7', epochs=1, dropout='mkl', **options).loc[0, curves]
        found.append((row - reader('LMModel7', 9).loc[0, curves]).abs().max())
    assert found[0] > 0.01 and found[1] < 1e-4
    assert 193_746 in known().query('model == "LMModel7"').n.tolist()


# the verdicts


def test_numbers_of_the_verdicts():
    said = {
        'two layers do worse than one': finals('LMModel4').mean() - finals('LMModel5').mean(),
        'the GRU is a small variation': finals('LMModel6: GRU').mean(),
        'all five tricks together': finals('LMModel7').mean() - finals('LMModel6').mean(),
    }
    rows = [o for o in text.splitlines() if o.startswith('| ')]
    for claim, number in said.items():
        row = next(o for o in rows if o.startswith(f'| {claim}'))
        assert f'{number:.3f}' in row, row
    start = compare(finals('LMModel5: orthogonal start'), finals('LMModel5'), n=1)
    assert 0.105 < start['difference'] < 0.125  # eleven points
    bare = finals('LMModel7: none of the five').mean() - finals('LMModel6').mean()
    assert bare / said['all five tricks together'] == pytest.approx(0.5, abs=0.03)
    lost = errors().query('model == "LMModel6" and role == "thousands digit"').share_of_loss
    assert lost.mean() == pytest.approx(0.75, abs=0.05)


def test_exercise_2():
    "Which fastai a last training loss comes from"
    last = reference('LMModel7').query('epoch == 14')
    none = finals('LMModel7: no penalties', 'train_loss')
    ends = none.mean(), last.plain_loss.mean(), last.train_loss.mean()
    assert np.allclose(ends, (0.012, 0.036, 0.102), rtol=0, atol=0.0006)
    assert none.max() < last.plain_loss.min() < last.plain_loss.max() < last.train_loss.min()


def test_the_printed_ends():
    "What the verdicts call Table 0 to Table 3"
    said = {'"Table 0"': 'LMModel4', 'Table 1': 'LMModel5', 'Table 2': 'LMModel6'}
    for name, model in (said | {'Table 3': 'LMModel7'}).items():
        end = f'{published(model).accuracy.iloc[-1]:.4f}'
        assert re.search(rf'^\| {name}[^|]*: {end} \|', text, re.M), name


def test_every_slip_has_its_edition():
    "A claim in our words, the editions in italics, and numbers without a gap"
    heads = re.findall(r'^### (\d+)(?: and (\d+))?\. ', text, re.M)
    numbers = [int(o) for head in heads for o in head if o]
    assert numbers == list(range(1, 24))
    for part in re.split(r'^### ', text, flags=re.M)[1:]:
        assert '> The chapter says, in our words: ' in part, part[:40]
        assert re.search(r'^\*.*\b(draft|first version|[Aa]ll three editions)\b', part, re.M | re.I)


def test_links_lead_somewhere():
    found = re.findall(r'\]\((?!https?:)([^)#]+)\)', text)
    assert len(found) > 40
    assert [o for o in found if not (chapter / o).exists()] == []


def test_every_verdict_is_settled():
    "In another notebook, or in a slip above"
    table = text.split('| verdict | settled in |')[1].split('\n\n')[0].splitlines()[2:]
    rows = pd.DataFrame([o.strip('|').split(' | ') for o in table])
    assert rows.shape[1] == 3 and len(rows) > 25
    assert rows[2].str.contains(r'\.ipynb\)|above').all()
