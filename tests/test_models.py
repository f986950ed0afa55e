"""Models, callbacks and modules: odd precisions, derivatives, copies, and who imports whom."""

import ast
import copy
import importlib
import inspect
import json
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from fastai.callback.core import Callback
from torch import nn

import rnnlm
from precision import full_precision, needs_bfloat16_lstm  # noqa: F401, a fixture
from rnnlm.ar_tar import RecordPenalties
from rnnlm.awd_lstm import AWDLanguageModel
from rnnlm.data import human_numbers_dls
from rnnlm.dropout import Dropout, EmbeddingDropout, LockedDropout, WeightDropout
from rnnlm.gru import GRU, GRUCell, LMModelGRU
from rnnlm.learner import FlatLoss, LeanTextLearner
from rnnlm.lstm import LSTM, FourGateLSTMCell, LoopLSTM, LSTMCell
from rnnlm.lstm_lm import LMModel6
from rnnlm.playground import export_weights, go_on, load_weights
from rnnlm.rnn import LMModel4, LMModel5
from rnnlm.weight_tying import LMModel7

package = Path(rnnlm.__file__).parent
files = [p for p in sorted(package.rglob('*.py')) if p.name != '_modidx.py']
modules = {str(p.relative_to(package)): p for p in files}


# language models beside the lessons' short classes


@pytest.mark.parametrize('model, layers', [(LMModel5, nn.RNN), (LMModel6, nn.LSTM)])
def test_order_of_the_draws(model, layers):
    "The weights that a seed gives are those of the lesson's short class"
    torch.manual_seed(3)
    ours = model(30, 8, 2)
    torch.manual_seed(3)
    parts = nn.Embedding(30, 8), layers(8, 8, 2, batch_first=True), nn.Linear(8, 30)
    theirs = [p for o in parts for p in o.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs, strict=True))


# recurrent layers beside PyTorch's

twins = {'LSTM': (LSTM, nn.LSTM), 'LoopLSTM': (LoopLSTM, nn.LSTM), 'GRU': (GRU, nn.GRU)}


def pair(name, ni=5, nh=8, n_layers=2, dtype=torch.float32):
    "PyTorch's layers, and ours with the same weights"
    torch.manual_seed(0)
    ours, theirs = twins[name]
    theirs = theirs(ni, nh, n_layers, batch_first=True).to(dtype)
    return theirs, ours.from_torch(theirs)


def copy_grads(m):
    "The same module with its gradients for weights"
    other = copy.deepcopy(m)
    with torch.no_grad():
        for p, q in zip(other.parameters(), m.parameters()):
            p.copy_(q.grad)
    return other


@needs_bfloat16_lstm
@pytest.mark.parametrize('name', twins)
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('state', [None, torch.float32, torch.bfloat16])
def test_autocast(name, dtype, state):
    "In bfloat16, whose numbers have 8 bits: within a few roundings of PyTorch's"
    theirs, ours = pair(name)
    x, h = torch.randn(4, 16, 5).to(dtype), None
    if state:
        h = torch.randn(2, 4, 8).to(state)
        h = h if name == 'GRU' else (h, h / 2)
    outs = []
    for m in (theirs, ours):
        with torch.autocast('cpu', torch.bfloat16):
            out, _ = m(x, h)
        outs.append(out.float())
        outs[-1].pow(2).sum().backward()
    wide = h if h is None else h.float() if name == 'GRU' else tuple(o.float() for o in h)
    exact = ours(x.float(), wide)[0]
    a, b = outs
    assert (a - b).abs().max() < 2**-6 and (b - exact).abs().max() < 2**-6
    assert (b - exact).abs().max() > 0  # it was really in low precision
    expected = type(ours).from_torch(copy_grads(theirs))
    for p, q in zip(ours.parameters(), expected.parameters()):
        assert p.grad.isfinite().all() and (p.grad - q).norm() < 0.02 * q.norm()


# derivatives


def first_derivative(m, x, f):
    "With a graph of its own, so that it can be differentiated again"
    return torch.autograd.grad(f(m(x)[0]), x, create_graph=True)[0]


@pytest.mark.parametrize(
    'f',
    [lambda y: y.sum(), lambda y: y.pow(2).sum()],
    ids=['incoming gradient needs none', 'incoming gradient needs one'],
)
@pytest.mark.parametrize('n_layers', [1, 2])
def test_second_derivatives(f, n_layers):
    "`LSTM` says that it has none, where it once gave zeros; `LoopLSTM` has them"
    torch.manual_seed(0)
    loop = LoopLSTM(3, 4, n_layers).double()
    fast = LSTM(3, 4, n_layers).double()
    fast.load_state_dict(loop.state_dict())
    x = torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)
    text = (
        '^LSTM: differentiates once, so create_graph must be False; '
        'LoopLSTM has second derivatives$'
    )
    with pytest.raises(RuntimeError, match=text):
        first_derivative(fast, x, f)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # PyTorch advises against it
        with pytest.raises(RuntimeError, match=text):
            f(fast(x)[0]).backward(create_graph=True)
    first = first_derivative(loop, x, f)
    assert torch.allclose(first, torch.autograd.grad(f(fast(x)[0]), x)[0])
    second = torch.autograd.grad(first.pow(2).sum(), x)[0]
    assert second.abs().max() > 1e-6
    step = torch.zeros_like(x)
    step[0, 1, 2] = 1e-6
    with torch.no_grad():
        up, down = x + step, x - step
    slopes = [torch.autograd.grad(f(loop(o.requires_grad_())[0]), o)[0] for o in (up, down)]
    ends = [o.pow(2).sum() for o in slopes]
    assert torch.allclose((ends[0] - ends[1]) / 2e-6, second[0, 1, 2], rtol=1e-4)


def test_gradients_checked_numerically():
    torch.manual_seed(0)
    m = LSTM(2, 3, 2).double()
    x = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    hx = [torch.randn(2, 2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(lambda x, h, c: m(x, (h, c))[0], (x, *hx))


# names of arguments


@pytest.mark.parametrize('cls', [LSTMCell, FourGateLSTMCell])
def test_cells_take_the_chapters_names(cls):
    cell, x, state = cls(3, 4), torch.randn(2, 3), (torch.randn(2, 4), torch.randn(2, 4))
    h, (h1, c1) = cell(input=x, state=state)
    by_place = cell(x, state)
    assert h is h1 and torch.equal(h, by_place[0]) and torch.equal(c1, by_place[1][1])
    with pytest.raises(ValueError, match=r'^input: must be bs × 3, not of shape \(2, 4\)'):
        cell(input=torch.randn(2, 4), state=state)
    with pytest.raises(TypeError, match='^state: must be a pair'):
        cell(input=x, state=state[0])


# copies


def awd(vocab_sz):
    return AWDLanguageModel(vocab_sz, dict(emb_sz=8, n_hid=12, n_layers=2, pad_token=None))


language_models = {
    'LMModel4': lambda: LMModel4(30, 8),
    'LMModel5': lambda: LMModel5(30, 8, 2),
    'LMModel6': lambda: LMModel6(30, 8, 2),
    'LMModel7': lambda: LMModel7(30, 8, 2, 0.4),
    'LMModelGRU': lambda: LMModelGRU(30, 8, 2),
    'LMModelGRU of our GRU': lambda: LMModelGRU(30, 8, 2, GRU),
    'AWD-LSTM': lambda: awd(30),
}
layers = {
    'LSTM': (lambda: LSTM(5, 8, 2), (4, 6, 5)),
    'LoopLSTM': (lambda: LoopLSTM(5, 8, 2), (4, 6, 5)),
    'GRU': (lambda: GRU(5, 8, 2, reset_after=False), (4, 6, 5)),
    'GRUCell': (lambda: GRUCell(5, 8), (4, 5)),
    'Dropout': (lambda: Dropout(0.3), (4, 5)),
    'LockedDropout': (lambda: LockedDropout(0.3), (4, 6, 5)),
    'WeightDropout': (lambda: WeightDropout(nn.LSTM(5, 8, batch_first=True), 0.3), (4, 6, 5)),
}
ways = {'pickle': lambda m: pickle.loads(pickle.dumps(m)), 'deepcopy': copy.deepcopy}


def flat(out):
    "All tensors of a nested result"
    return [out] if isinstance(out, torch.Tensor) else [o for part in out for o in flat(part)]


def same(a, b):
    return len(a) == len(b) and all(map(torch.equal, a, b))


def seeded_call(m, x):
    "Dropout included"
    torch.manual_seed(1)
    return flat(m(x))


@needs_bfloat16_lstm
@pytest.mark.parametrize('name', language_models)
def test_models_in_and_out_of_autocast(name):
    "The state that is carried changes its precision with the batch"
    m, xb = language_models[name](), torch.randint(0, 30, (4, 6))
    for enabled in (False, True, False):
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            out = flat(m(xb))[0]
        assert out.shape == (4, 6, 30) and out.isfinite().all()


@pytest.mark.parametrize('way', ways)
@pytest.mark.parametrize('name', language_models)
def test_copies_of_models(name, way):
    "In training and in evaluation, with the state that they carry, and independent of each other"
    torch.manual_seed(0)
    m, xb = language_models[name](), torch.randint(0, 30, (3, 5))
    for training in (True, False):
        m.train(training)
        m(xb)
        other = ways[way](m)
        assert other.training == training
        assert same(seeded_call(m, xb), seeded_call(other, xb))  # from the same state
    before = [p.detach().clone() for p in m.parameters()]
    assert len(before) == len(list(other.parameters()))  # what was tied is tied
    with torch.no_grad():
        for p in other.parameters():
            p.add_(1)
    assert same(before, list(m.parameters()))


@pytest.mark.parametrize('name', language_models)
def test_state_dicts_of_models(name, tmp_path):
    torch.manual_seed(0)
    m, other, xb = language_models[name](), language_models[name](), torch.randint(0, 30, (3, 5))
    m(xb)
    torch.save(m.state_dict(), tmp_path / 'm.pth')
    other.load_state_dict(torch.load(tmp_path / 'm.pth', weights_only=True))
    m.reset(), m.eval(), other.eval()
    assert same(flat(m(xb)), flat(other(xb)))
    assert sum(p.numel() for p in other.parameters()) == sum(p.numel() for p in m.parameters())
    with pytest.raises(RuntimeError, match='Missing key'):
        other.load_state_dict({})


@pytest.mark.parametrize('way', ways)
@pytest.mark.parametrize('name', layers)
def test_copies_of_layers(name, way):
    torch.manual_seed(0)
    make, shape = layers[name]
    m, x = make(), torch.randn(shape)
    m(x)
    other = ways[way](m)
    assert same(seeded_call(m, x), seeded_call(other, x))
    third = make()
    third.load_state_dict(m.state_dict())
    assert same(seeded_call(m, x), seeded_call(third, x))


@pytest.mark.parametrize('way', ways)
def test_copies_of_embedding_dropout(way):
    m, words = EmbeddingDropout(nn.Embedding(30, 8), 0.3), torch.randint(0, 30, (3, 5))
    assert same(seeded_call(m, words), seeded_call(ways[way](m), words))


# RecordPenalties: the column belongs to the latest fit


@pytest.fixture(scope='module')
def dls():
    return human_numbers_dls(bs=32, n=1100, device='cpu')


def penalised(dls, *cbs, **kwargs):
    torch.manual_seed(0)
    model = LMModel7(len(dls.vocab), 16, 1, 0.2)
    return LeanTextLearner(dls, model, loss_func=FlatLoss(), cbs=cbs, **kwargs)


def one_epoch(learn, lr=1e-2):
    "The row that an epoch leaves, by name"
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, lr)
    row = [float(o) for o in learn.recorder.values[-1]]
    names = learn.recorder.metric_names[1:-1]
    assert len(row) == len(names)
    return dict(zip(names, row))


def plain_losses(dls, fits):
    "What a learner that records no penalties shows after each fit: the plain loss"
    learn = penalised(dls)
    return [one_epoch(learn)['train_loss'] for _ in range(fits)]


def test_penalties_of_two_fits(dls):
    learn = penalised(dls, RecordPenalties())
    rows = [one_epoch(learn) for _ in range(3)]
    assert [o['plain_loss'] for o in rows] == plain_losses(dls, 3)
    assert all(o['train_loss'] > o['plain_loss'] for o in rows)
    assert list(rows[0]) == list(rows[2]) == ['train_loss', 'valid_loss', 'plain_loss']
    assert [o.name for o in learn.metrics] == []


def test_penalties_recorded_by_another(dls):
    "The first is removed, and a second added: once, its column stayed at what the first had seen"
    learn = penalised(dls, RecordPenalties())
    rows = [one_epoch(learn)]
    learn.remove_cb(RecordPenalties)
    without = one_epoch(learn)
    assert list(without) == ['train_loss', 'valid_loss']
    learn.add_cb(RecordPenalties())
    rows.append(one_epoch(learn))
    expected = plain_losses(dls, 3)
    assert [rows[0]['plain_loss'], without['train_loss'], rows[1]['plain_loss']] == expected


def test_penalties_after_a_fit_that_was_cut_off(dls):
    def cut_off(self):
        raise KeyboardInterrupt

    first, stop = RecordPenalties(), Callback(after_step=cut_off)
    learn = penalised(dls, first, stop)
    with pytest.raises(KeyboardInterrupt):
        one_epoch(learn)
    learn.remove_cbs([stop, first])
    learn.add_cb(RecordPenalties())
    row = one_epoch(learn)
    assert list(row) == ['train_loss', 'valid_loss', 'plain_loss']
    assert row['plain_loss'] < row['train_loss']


def test_penalties_and_validation(dls):
    "There is no training loss where nothing is trained"
    rows = []
    for cbs in ([RecordPenalties()], []):
        learn = penalised(dls, *cbs)
        with learn.no_bar():
            rows.append([learn.validate(), one_epoch(learn), learn.validate(), one_epoch(learn)])
            assert len(learn.get_preds(with_loss=True)) == 3
    (before, first, after, second), plain = rows
    assert [before, after] == [plain[0], plain[2]] and len(after) == 1
    assert [o['plain_loss'] for o in (first, second)] == [o['train_loss'] for o in plain[1::2]]


def test_penalties_recorded_twice(dls):
    learn = penalised(dls, RecordPenalties(), RecordPenalties())
    with pytest.raises(ValueError, match='cbs: one RecordPenalties is enough'):
        one_epoch(learn)


# the playground

vocab = human_numbers_dls(n=1100, bs=8, device='cpu').vocab


@pytest.mark.parametrize('training', [True, False])
def test_a_model_goes_on_as_it_was(training):
    "Its mode, and no state left, after an unknown word too"
    torch.manual_seed(0)
    m = LMModel7(len(vocab), 8, 1, 0.4).train(training)
    assert len(go_on(m, vocab, ['nine', '.'], 3)) == 3
    assert m.training == training and m.h is None
    with pytest.raises(ValueError, match="^words: 'zero' is not in vocab"):
        go_on(m, vocab, ['nine', 'zero'])
    assert m.training == training and m.h is None


def test_words_are_not_changed():
    words = ['nine', '.']
    go_on(LMModel7(len(vocab), 8, 1, 0.4), vocab, words, 3)
    assert words == ['nine', '.']


def test_exported_weights(tmp_path):
    m = LMModel7(len(vocab), 8, 2, 0.4)
    path = export_weights(m, vocab, tmp_path / 'm.js', note='é')
    written = json.loads(path.read_text().split('LMMODEL7 = ')[1].rstrip(';\n'))
    assert written['about'] == {'note': 'é'}
    back, words = load_weights(path)
    assert words == vocab and not back.training
    assert same(list(m.state_dict().values()), list(back.state_dict().values()))


def test_untied_weights_are_not_exported(tmp_path):
    "They would be read back as another model"
    m = LMModel7(len(vocab), 8, 2, 0.4)
    m.h_o = nn.Linear(8, len(vocab))
    text = '^model: its output layer must share the weights of its embedding$'
    with pytest.raises(ValueError, match=text):
        export_weights(m, vocab, tmp_path / 'm.js')
    assert not (tmp_path / 'm.js').exists()


# who imports whom

light = ['checks', 'rnn', 'lstm_lm', 'weight_tying', 'dropout', 'awd_lstm', 'lstm', 'gru']
heavy = ['fastai', 'pandas', 'matplotlib', 'scipy', 'joblib']


def test_models_import_little():
    "In a fresh process, one after the other"
    code = f'''
import importlib, json, sys
seen = {{}}
for name in {light}:
    importlib.import_module('rnnlm.' + name)
    seen[name] = [o for o in {heavy} if o in sys.modules]
print(json.dumps(seen))'''
    p = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert p.returncode == 0, p.stderr
    assert json.loads(p.stdout) == {name: [] for name in light}


def is_private(name):
    return name.startswith('_') and not (name.startswith('__') and name.endswith('__'))


def imports(path):
    "Each `(module, names)` that is imported, relative ones as `rnnlm…`"
    own = ['rnnlm', *path.relative_to(package).parts[:-1]]
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(o.name, []) for o in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = own[: len(own) - node.level + 1] if node.level else []
            module = '.'.join([*base, *([node.module] if node.module else [])])
            found.append((module, [o.name for o in node.names]))
    return found


@pytest.mark.parametrize('name', modules)
def test_no_private_name_crosses_a_module(name):
    for module, names in imports(modules[name]):
        assert [o for o in [*module.split('.'), *names] if is_private(o)] == []


@pytest.mark.parametrize('name', modules)
def test_no_private_attribute_of_others(name):
    "`x._y` is for a name that the module defines itself, by `getattr` too"
    tree = ast.parse(modules[name].read_text())
    own, used = set(), set()
    by_name = 'getattr', 'setattr', 'hasattr'
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            own.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            own.add(node.attr)
        elif isinstance(node, ast.Attribute):
            used.add(node.attr)
        elif isinstance(node, ast.Call) and getattr(node.func, 'id', '') in by_name:
            used |= {o.value for o in node.args[1:2] if isinstance(o, ast.Constant)}
    # Python documents this one for processes that were forked
    own.add('_exit')
    assert {o for o in used if is_private(o)} <= own


@pytest.mark.parametrize('name', modules)
def test_no_private_method_is_overridden(name):
    "No class has an `_x` of its own that a base of fastai's, fastcore's or joblib's has too"
    parts = name.removesuffix('.py').split('/')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        path = '.'.join(['rnnlm', *parts]).removesuffix('.__init__')
        module = importlib.import_module(path)
    others = 'fastai', 'fastcore', 'joblib'
    for _, cls in inspect.getmembers(module, inspect.isclass):
        bases = [o for o in cls.__mro__ if o.__module__.split('.')[0] in others]
        if cls.__module__ == module.__name__:
            taken = {k for o in bases for k in vars(o) if is_private(k)}
            assert not taken & set(vars(cls))


@pytest.mark.parametrize('name', [o for o in modules if o.startswith('replicate')])
def test_replicate_knows_nothing_of_ours(name):
    "But for the checks of arguments, which know no model, no chapter and no file of ours either"
    ours = [m for m, _ in imports(modules[name]) if m.split('.')[0] == 'rnnlm']
    allowed = 'rnnlm.replicate', 'rnnlm.checks'
    assert all(m in allowed or m.startswith('rnnlm.replicate.') for m in ours)
    assert not [m for m, _ in imports(modules['checks.py']) if m.split('.')[0] == 'rnnlm']


def test_the_parser_sees_imports(tmp_path):
    "The control: what would be found"
    path = package / 'replicate' / 'nowhere.py'
    text = '''from ..chapter import _x
from .store import y
import joblib._z
def f():
    from rnnlm import tables'''

    class Fake(type(path)):
        def read_text(self):
            return text

    assert imports(Fake(path)) == [
        ('rnnlm.chapter', ['_x']),
        ('rnnlm.replicate.store', ['y']),
        ('joblib._z', []),
        ('rnnlm', ['tables']),
    ]
