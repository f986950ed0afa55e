"""The study of architectures: its networks start as they should, its held-out text is only training
text, and its stored table is whole and says what the prose says."""

import pytest
import torch

from rnnlm.ablation import compare
from rnnlm.architectures import AnyRNN, depths, dls_for, kinds, parts, rates
from rnnlm.data import human_numbers, make_vocab, numericalize, tokenize
from rnnlm.errors import by_role, predictions, roles
from rnnlm.lstm_lm import LMModel6
from rnnlm.replicate.experiment import seeded
from rnnlm.rnn import LMModel5
from rnnlm.tables import stored

settings = ['kind', 'layers']


@pytest.mark.parametrize('kind, chapter', [('tanh', LMModel5), ('LSTM', LMModel6)])
def test_the_chapters_networks_are_among_them(kind, chapter):
    xb = torch.randint(0, 30, (4, 7))
    with seeded(3):
        ours = AnyRNN(30, 64, 2, kind)
    with seeded(3):
        theirs = chapter(30, 64, 2)
    for _ in range(2):
        assert torch.equal(ours(xb), theirs(xb))


@pytest.mark.parametrize('layers', depths)
def test_starts(layers):
    eye = torch.eye(16)
    for w in kinds['orthogonal tanh'](16, layers).all_weights:
        assert torch.allclose(w[1] @ w[1].T, eye, atol=1e-5)
        assert not torch.allclose(w[0] @ w[0].T, eye, atol=1e-2)
    for w in kinds['identity ReLU'](16, layers).all_weights:
        assert torch.equal(w[1], eye)
        assert not w[2].any() and not w[3].any()
    assert kinds['ReLU'](4, layers).nonlinearity == kinds['identity ReLU'](4, 1).nonlinearity


def test_held_out_text_is_training_text():
    tokens = tokenize(human_numbers())
    nums = numericalize(tokens, make_vocab(tokens))
    held, whole = dls_for('held out'), dls_for('validation')
    read = [torch.cat([yb for _, yb in dl], 1) for dl in (held.train, held.valid, whole.train)]
    assert (len(held.train), len(held.valid)) == (39, 9)
    # each row of a split is a piece of running text, and the rows follow each other
    first, then, all_rows = [o.flatten() for o in read]
    assert torch.equal(first, nums[1 : len(first) + 1])
    assert len(first) + len(then) <= len(all_rows)
    after = 16 * int(0.8 * (int(0.8 * len(nums)) // 16))
    assert torch.equal(then, nums[after + 1 : after + 1 + len(then)])
    assert after >= len(first)


@pytest.fixture(scope='module')
def table():
    return stored('architectures.csv')


def test_the_table_is_whole(table):
    counts = table.groupby(['part', *settings, 'rate']).seed.nunique()
    assert len(counts) == len(parts) * len(kinds) * len(depths) * len(rates)
    assert (counts['held out'] == 4).all() and (counts['validation'] == 16).all()
    assert table['all words'].between(0, 1).all()
    assert not table[roles].isna().any().any()


def best_runs(table):
    "The rate that each network chose on held-out text, and its runs with that rate"
    mean = table[table.part == 'held out'].groupby([*settings, 'rate'])['all words'].mean()
    chosen = mean.unstack().idxmax(axis=1)
    judged = table[table.part == 'validation'].set_index([*settings, 'rate']).sort_index()
    return chosen, {key: judged.loc[(*key, rate)] for key, rate in chosen.items()}


def test_no_best_rate_at_the_edge(table):
    chosen, _ = best_runs(table)
    assert chosen.between(rates[0], rates[-1], inclusive='neither').all()


def test_what_the_notebook_says(table):
    _, runs = best_runs(table)

    def gap(one, other):
        found = compare(runs[one]['all words'], runs[other]['all words'], n=1)
        return found['low'], found['high']

    assert gap(('ReLU', 2), ('tanh', 2))[0] > 0.1
    assert gap(('LSTM', 2), ('tanh', 2))[0] > 0.1
    assert gap(('GRU', 2), ('ReLU', 2))[0] > 0
    assert gap(('identity ReLU', 1), ('ReLU', 1))[0] > 0
    assert gap(('orthogonal tanh', 2), ('tanh', 2))[0] > 0
    assert gap(('identity ReLU', 2), ('identity ReLU', 1))[1] < -0.2
    low, high = gap(('GRU', 1), ('LSTM', 1))
    assert low < 0 < high
    assert all(o['thousands digit'].mean() < 0.1 for o in runs.values())


def test_a_network_that_has_diverged():
    "It gets hardly anything right, but every kind of word has its row"
    net = AnyRNN(30, 8, 1, 'ReLU')
    torch.nn.init.constant_(net.h_o.bias, float('nan'))
    found = by_role(predictions(net, dls_for('validation').valid))
    assert [*found.index] == [*roles, 'all words']
    assert found.accuracy['all words'] < 0.1
