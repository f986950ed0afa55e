"""What the first notebooks checked and no other test checks; `docs/checks.md` lists the rest."""

import ast
import copy
import itertools
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fastai.callback.core import Callback
from fastai.callback.rnn import ModelResetter
from fastai.callback.schedule import *  # noqa: F403, puts fit_one_cycle on Learner
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from rnnlm.chapter import StopAfter, chapter_learner, check_run, fit, variants
from rnnlm.data import human_numbers, human_numbers_dls, make_vocab, tokenize
from rnnlm.learner import FlatLoss, LeanLearner
from rnnlm.lstm import LSTM, LoopLSTM
from rnnlm.mistakes import detection, refused
from rnnlm.playground import go_on, true_next
from rnnlm.replicate.experiment import seeded
from rnnlm.replicate.judge import judge_printed, moved
from rnnlm.replicate.store import flat
from rnnlm.rnn import LMModel4
from rnnlm.tables import curves, published, reference
from rnnlm.weight_tying import LMModel7

models = ['LMModel4', 'LMModel5', 'LMModel6', 'LMModel7']
pairs = list(itertools.permutations(models, 2))


# the printed tables, the judge, and stored runs


def test_table_0_is_a_draw():
    "Those of the other three models are in the tests of their lessons"
    table = judge_printed(published('LMModel4'), reference('LMModel4'))
    assert list(table.index) == curves and table.reproduced.eq(True).all()
    # the control: fifteen points of accuracy less
    lower = published('LMModel4')
    lower['accuracy'] -= 0.15
    table = judge_printed(lower, reference('LMModel4'))
    assert table.reproduced.tolist() == [True, True, False]


@pytest.mark.parametrize('printed, held', pairs)
def test_no_printed_table_is_one_of_another_model(printed, held):
    assert not judge_printed(published(printed), reference(held)).reproduced.all()


@pytest.mark.parametrize('trained, claimed', pairs)
def test_four_runs_of_another_model_are_noticed(trained, claimed):
    assert refused(flat(reference(trained), curves), claimed, 4, n=200) == 1


@pytest.mark.parametrize('model', models)
def test_four_runs_of_the_same_model_are_not(model):
    "The control of the test above: of means that no bound was made from, one in a hundred at most"
    assert refused(flat(reference(model, 'null'), curves), model, 4, n=200) <= 0.01


@pytest.mark.parametrize(
    'name', ['LMModel5: one layer', 'LMModel6: targets one token late', 'LMModel7: no dropout']
)
def test_detection_says_what_the_check_says(name):
    "Run by run: in how many of its stored runs is a mistake noticed?"
    runs = reference(name)[['seed', 'epoch', *curves]]
    said = [check_run(one, variants[name].of).agrees.all() for _, one in runs.groupby('seed')]
    assert 0 < sum(said) < len(said) == 24
    assert detection(name, 1) == pytest.approx(1 - np.mean(said))


@pytest.mark.parametrize('name', ['LMModel5: state not kept', 'LMModel6: targets one token late'])
def test_stored_mistakes_move_a_distribution(name):
    "Sixteen runs, as many as the weekly check of the newest libraries has"
    wrong = reference(name)
    sixteen = wrong[wrong.seed.isin(wrong.seed.unique()[:16])]
    assert moved(sixteen, reference(variants[name].of)).moved.any()


@pytest.mark.parametrize('model', models)
def test_right_runs_move_none(model):
    "The first sixteen of the reference against the rest of it"
    runs = reference(model)
    sixteen = runs[runs.seed < 1016]
    assert sixteen.seed.nunique() == 16 and not moved(sixteen, runs).moved.any()


# gradients of trained networks


class Lengths(Callback):
    "How long the whole gradient is at each update"

    def before_fit(self):
        self.seen = []

    def before_step(self):
        gradients = [p.grad for p in self.model.parameters()]
        self.seen.append(nn.utils.get_total_norm(gradients).item())


def begun(model, epochs):
    "A model as it was drawn, the same after some epochs, and its lengths"
    lengths = Lengths()
    with seeded(0):
        learn = chapter_learner(model)
        drawn = copy.deepcopy(learn.model)
        learn.add_cbs([lengths, StopAfter(epochs)])
        with learn.no_bar(), learn.no_logging():
            fit(learn, model)
    return drawn, learn.model, lengths.seen


@pytest.fixture(scope='module')
def trained():
    "About a second each"
    return {'LMModel4': begun('LMModel4', 7), 'LMModel5': begun('LMModel5', 5)}


@pytest.fixture(scope='module')
def batch():
    return human_numbers_dls(sl=64, device='cpu').train.dataset.batches[1]


def reset_copy(model):
    model = copy.deepcopy(model).double()
    model.reset()
    return model


def test_no_gradient_explodes(trained):
    "Measured on four seeds: 13.4 at most in LMModel4, 4.3 or more; 2.2 at most in LMModel5"
    one, two = (trained[o][2] for o in ('LMModel4', 'LMModel5'))
    assert len(one) == 7 * 49 and len(two) == 5 * 49
    assert max(one) < 20 and max(two) < 20
    assert max(one) > max(two)


@pytest.mark.parametrize('name', ['LMModel4', 'LMModel5'])
def test_training_lets_a_word_sixteen_back_be_heard(trained, batch, name):
    "Measured on four seeds: below 1e-4 as drawn, .14 to .38 after training"
    xb, yb = batch
    found = []
    for model in trained[name][:2]:
        model, embedded = reset_copy(model), []
        model.i_h.register_forward_hook(lambda module, given, out: embedded.append(out))
        loss = F.cross_entropy(model(xb)[:, -1], yb[:, -1], reduction='sum')
        lengths = torch.autograd.grad(loss, embedded)[0].norm(dim=-1)
        found.append((lengths[:, -17] / lengths[:, -1]).median().item())
    assert found[0] < 2e-4 and 0.05 < found[1] < 1


@pytest.mark.parametrize('name', ['LMModel4', 'LMModel5'])
def test_four_words_no_longer_give_the_direction(trained, batch, name):
    """Of the gradient over 64 words: as drawn .98 with a cut every four, after training .53 to .79;
    with one every sixteen .92 and more. Measured on four seeds"""
    xb, yb = batch

    def gradient(model, every):
        model = reset_copy(model)
        out = torch.cat([model(o) for o in xb.split(every, 1)], 1)
        loss = F.cross_entropy(out.flatten(0, 1), yb.flatten())
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])

    drawn, after, _ = trained[name]
    cosines = {}
    for model, every in itertools.product((drawn, after), (4, 16)):
        a, b = gradient(model, every), gradient(model, 64)
        cosines[model is after, every] = F.cosine_similarity(a, b, 0).item()
    assert cosines[False, 4] > 0.95
    assert cosines[True, 4] < 0.87
    assert cosines[True, 16] > 0.85 and cosines[True, 16] > cosines[True, 4]


def layer_by_layer(model, xb, yb):
    "Of each layer: what arrives 8 states back, and the share of states near -1 or 1"
    model = reset_copy(model)
    embedded, states = model.embed(xb), []
    h = [torch.zeros_like(embedded[:, 0])] * 2
    for x in embedded.unbind(1):
        for k, weights in enumerate(model.rnn.all_weights):
            h[k] = x = torch.rnn_tanh_cell(x, h[k], *weights)
        states.append(list(h))
    assert torch.allclose(model.h_o(x), model(xb)[:, -1], atol=1e-9)  # it is the same model
    loss = F.cross_entropy(model.h_o(x), yb[:, -1], reduction='sum')
    gradients = torch.autograd.grad(loss, sum(states, []))
    arrives, flat_share = [], []
    for k in (0, 1):
        lengths = torch.stack(gradients[k::2], 1).norm(dim=-1)
        arrives.append((lengths[:, -9] / lengths[:, -1]).median().item())
        near_one = torch.stack([o[k] for o in states]).abs() > 0.95
        flat_share.append(near_one.double().mean().item())
    return arrives, flat_share


def test_it_is_the_first_layer_that_remembers(trained, batch):
    """Measured on four seeds: .58 and more arrive 8 states back in the first layer, .002 at most in
    the second, of whose states half lie where tanh is flat"""
    drawn, after, _ = trained['LMModel5']
    (first, second), (_, flat_share) = layer_by_layer(after, *batch)
    assert first > 0.3 and second < 0.02
    assert flat_share > 0.35
    (first, second), (_, flat_share) = layer_by_layer(drawn, *batch)
    assert max(first, second, flat_share) < 0.05  # nothing of this at the start


# learners


def test_callbacks_of_one_fit():
    "They are called in that fit and in no other, and the optimiser goes on without its state"

    class Batches(Callback):
        n = 0

        def after_batch(self):
            self.n += 1

    class Others(Batches):
        pass

    first, second = Batches(), Others()
    dls = human_numbers_dls(bs=32, n=1100, device='cpu')
    model = LMModel4(len(dls.vocab), 8)
    learn = LeanLearner(dls, model, loss_func=FlatLoss(), cbs=ModelResetter())
    per_epoch = len(dls.train) + len(dls.valid)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(1, 3e-3, cbs=first)
        assert (first.n, second.n) == (per_epoch, 0)
        learn.opt.clear_state()
        before = model.i_h.weight.detach().clone()
        learn.fit_one_cycle(2, 3e-3, cbs=second)
    assert (first.n, second.n) == (per_epoch, 2 * per_epoch)
    assert not torch.equal(model.i_h.weight, before)


# the price of an LSTM


class Count(TorchDispatchMode):
    "Calls of PyTorch's operations"

    def __init__(self):
        super().__init__()
        self.seen = Counter()

    def __torch_dispatch__(self, f, types, args=(), kwargs=None):
        self.seen[f.overloadpacket.__name__] += 1
        return f(*args, **kwargs or {})


def calls(net):
    "Those of one training step of 16 words"
    x = torch.randn(4, 16, 8, requires_grad=True)
    with Count() as count:
        net(x)[0].sum().backward()
    return count.seen


def test_a_backward_pass_by_hand_takes_fewer_calls():
    "Than autograd's of the same cells, and `nn.LSTM` far fewer wherever oneDNN has a layer in one"
    loop, ours = calls(LoopLSTM(8, 8, 2)), calls(LSTM(8, 8, 2))
    assert loop.total() > 2 * ours.total()
    theirs = calls(nn.LSTM(8, 8, 2, batch_first=True))
    if theirs['mkldnn_rnn_layer']:
        assert ours.total() > 5 * theirs.total()


# the true next word

last_but_one, last = human_numbers()[-2:]
known = {
    'nine': '.',
    'nine .': 'ten',
    'twenty . twenty': 'one',
    'seven thousand nine hundred ninety nine . eight thousand': 'one',
    '': None,
    '.': None,
    'thousand': None,
    'nine . eleven': None,
    last: None,
    f'{last} .': None,
    f'{last_but_one} . {last}': None,
}


@pytest.mark.parametrize('text', known, ids=lambda o: o[-30:] or 'nothing')
def test_the_true_next_word(text):
    assert true_next(text.split()) == known[text]


def test_what_a_model_should_have_said():
    "Whatever a model that was never trained says: its first word is held against the count"
    vocab = make_vocab(tokenize(human_numbers()))
    torch.manual_seed(0)
    said = go_on(LMModel7(len(vocab), 8, 1, 0.4), vocab, ['nine', '.'], 3)
    assert list(said.true)[0] == 'ten'
    assert list(said.ok)[0] == (said.word[0] == 'ten')


# the list of all checks

root = Path(__file__).parents[1]


def functions(path):
    "The tests in a file"
    tree = ast.parse(path.read_text(encoding='utf-8'))
    return {o.name for o in tree.body if isinstance(o, ast.FunctionDef)}


def gone(text):
    "What `text` names that is not there: test files, their tests, notebooks"
    tests = {o.stem: functions(o) for o in (root / 'tests').glob('test_*.py')}
    file, missing = None, []
    for name in re.findall('`([^`]+)`', text):
        if name in tests:
            file = name
        elif name.startswith('test_'):
            missing += [name] * (name not in tests.get(file, ()))
        elif re.fullmatch(r'(chapter|replication|beyond)/\w+', name):
            missing += [name] * (not (root / 'nbs' / f'{name}.ipynb').exists())
    return missing


def test_all_that_the_list_names_is_there():
    text = (root / 'docs' / 'checks.md').read_text(encoding='utf-8')
    assert gone(text) == []
    # the control: it can say no
    wrong = '`test_kept`: `test_nothing`, `chapter/99_nothing`; `test_data`: `test_tokens`, `x`'
    assert gone(wrong) == ['test_nothing', 'chapter/99_nothing']
