"""The kernel of the page "Train it here" (docs/train/train.c) against PyTorch: the very file that
browsers run, run by wasmtime, which can be had with pip on every system and needs no compiler."""

import subprocess
import sys
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import wasmtime
from fastai.callback.schedule import combined_cos
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from rnnlm.chapter import recipe
from rnnlm.data import human_numbers_dls
from rnnlm.digits import run_at
from rnnlm.generator import at_state
from rnnlm.lstm_lm import LMModel6
from rnnlm.performance import bare_adam, losses, validate
from rnnlm.rnn import LMModel5
from rnnlm.tables import curves, published
from rnnlm.weight_tying import LMModel7

root = Path(__file__).parent.parent
sys.path.insert(0, str(root / 'docs/train'))
import build  # noqa: E402

units = ('tanh', 'ReLU', 'LSTM')
combinations = list(product((1, 2, 3), units, (False, True)))
book = 20_570  # draws since seed 42


class Kernel:
    "The exports of train.wasm as methods, and views of its arrays"

    def __init__(self):
        self.store = wasmtime.Store()
        module = wasmtime.Module.from_file(
            self.store.engine, str(root / 'docs/train/train.wasm')
        )
        self.exports = wasmtime.Instance(self.store, module, []).exports(self.store)
        words, _ = build.text()
        self.exports['memory'].write(self.store, words, self.text_at())
        self.set_text(len(words))

    def __getattr__(self, name):
        return lambda *args: self.exports[name](self.store, *args)

    def array(self, name, n):
        "The first `n` numbers of `weights`, `gradients` or `mask`, as a copy"
        start = getattr(self, f'{name}_at')()
        data = self.exports['memory'].read(self.store, start, start + 4 * n)
        return np.frombuffer(data, np.float32)

    def put(self, name, numbers):
        "Overwrite the first numbers of such an array"
        data = np.ascontiguousarray(numbers, np.float32).tobytes()
        self.exports['memory'].write(self.store, data, getattr(self, f'{name}_at')())

    def make(self, layers, unit, tied, seed=42, n=0):
        "A model drawn `n` draws after `seed`: the number of its weights"
        size = self.set_model(layers, units.index(unit), int(tied))
        self.seed(seed)
        self.skip(n)
        self.draw_weights()
        return size

    def train(self, model, seed, n, epochs=15):
        "The rows of a run of one of `rnnlm.chapter.recipes` and its variants"
        r = recipe(model)
        plain = r.cls is LMModel5
        self.make(r.args[1], 'tanh' if plain else 'LSTM', r.text, seed, n)
        dropout = r.args[2] if r.text else 0.0
        penalties = (r.alpha, r.beta) if r.text else (0.0, 0.0)
        momenta = (0.8, 0.7) if r.text else (0.95, 0.85)
        wd = 0.01 if r.wd is None else r.wd
        self.set_training(r.lr, wd, dropout, *penalties, *momenta, 15)
        rows = []
        for _ in range(epochs):
            for _ in range(self.batches_an_epoch()):
                self.train_batch()
            self.validate()
            row = self.smoothed_loss(), self.validation_loss(), self.validation_accuracy()
            rows.append(row)
        return np.array(rows)


@pytest.fixture(scope='module', autouse=True)
def one_thread():
    "Models as small as these train faster on one"
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='module')
def kernel():
    return Kernel()


# (a) the generator


@pytest.mark.parametrize('seed, n', [(42, 0), (42, book), (0, 623), (7, 1), (2**32 - 1, 5_000)])
@pytest.mark.parametrize(
    'cls, args, made',
    [
        (LMModel5, (2,), (2, 'tanh', False)),
        (LMModel6, (2,), (2, 'LSTM', False)),
        (LMModel7, (2, 0.4), (2, 'LSTM', True)),
    ],
)
def test_draws_pytorchs_weights(kernel, cls, args, made, seed, n):
    size = kernel.make(*made, seed, n)
    ours = kernel.array('weights', size)
    at_state(n, seed)
    theirs = parameters_to_vector(cls(30, 64, *args).parameters()).detach().numpy()
    # PyTorch's logarithm, cosine and sine are approximate themselves, in another way on each
    # processor; 2e-6 is four units in the last place of the largest normal numbers
    normal = 30 * 64
    assert len(ours) == len(theirs)
    assert (ours[normal:] == theirs[normal:]).all()
    assert np.abs(ours[:normal] - theirs[:normal]).max() < 2e-6


def test_another_state_gives_other_weights(kernel):
    "What the test above would say if the generator were one draw off"
    size = kernel.make(2, 'tanh', False, 42, book + 1)
    at_state(book, 42)
    theirs = parameters_to_vector(LMModel5(30, 64, 2).parameters()).detach().numpy()
    assert np.abs(kernel.array('weights', size) - theirs).max() > 0.1


# (b) the gradients


class Reference(nn.Module):
    "The same models in PyTorch, in float64"

    def __init__(self, layers, unit, tied):
        super().__init__()
        options = dict(num_layers=layers, batch_first=True)
        self.emb = nn.Embedding(30, 64)
        self.rnn = (
            nn.LSTM(64, 64, **options)
            if unit == 'LSTM'
            else nn.RNN(64, 64, nonlinearity=unit.lower(), **options)
        )
        self.out = nn.Linear(64, 30)
        if tied:
            self.out.weight = self.emb.weight
        self.double()

    def penalised(self, batch, state, mask, alpha, beta):
        "The loss with AR and TAR, and the state after the batch, detached"
        xb, yb = batch
        raw, state = self.rnn(self.emb(xb), state)
        dropped = raw * mask
        loss = F.cross_entropy(self.out(dropped).flatten(0, 1), yb.flatten())
        loss = loss + alpha * dropped.pow(2).mean() + beta * raw.diff(dim=1).pow(2).mean()
        parts = state if isinstance(state, tuple) else (state,)
        cut = tuple(o.detach() for o in parts)
        return loss, cut if isinstance(state, tuple) else cut[0]


@pytest.fixture(scope='module')
def batches():
    return human_numbers_dls(device='cpu').train.dataset.batches


def gradients_of_both(kernel, batches, layers, unit, tied, **changes):
    """Losses and gradients of the second batch, which goes on from the state that the first left,
    with a dropout mask, AR and TAR; `changes` are made to PyTorch's side only"""
    asked = dict(alpha=2.0, beta=1.0, masked=True, carried=True) | changes
    size = kernel.make(layers, unit, tied)
    # larger than they are drawn, so that gates close, states change and the penalties count
    kernel.put('weights', 2 * kernel.array('weights', size))
    mask = np.random.default_rng(0).random((16, 64, 64)) >= 0.4
    mask = (mask / 0.6).astype(np.float32)
    kernel.put('mask', mask)
    kernel.set_training(0.01, 0.0, 0.0, 2.0, 1.0, 0.95, 0.85, 15)
    kernel.forget()
    kernel.differentiate(0)
    loss = kernel.differentiate(1)

    net = Reference(layers, unit, tied)
    vector_to_parameters(torch.from_numpy(kernel.array('weights', size).copy()), net.parameters())
    net.double()
    # the kernel has steps first
    given = torch.from_numpy(mask).double().transpose(0, 1) if asked['masked'] else 1.0
    weights = asked['alpha'], asked['beta']
    _, state = net.penalised(batches[0], None, given, *weights)
    state = state if asked['carried'] else None
    true_loss, _ = net.penalised(batches[1], state, given, *weights)
    true_loss.backward()
    ours = torch.from_numpy(kernel.array('gradients', size).copy()).double()
    errors = {}
    at = 0
    for name, p in net.named_parameters():
        part = ours[at : at + p.numel()].view_as(p)
        errors[name] = ((part - p.grad).norm() / p.grad.norm()).item()
        at += p.numel()
    assert at == size
    return abs(loss - true_loss.item()) / true_loss.item(), errors


@pytest.mark.parametrize('layers, unit, tied', combinations)
def test_gradients_are_pytorchs(kernel, batches, layers, unit, tied):
    loss, errors = gradients_of_both(kernel, batches, layers, unit, tied)
    assert loss < 1e-6 and max(errors.values()) < 1e-5, (loss, errors)


@pytest.mark.parametrize('unit', units)
@pytest.mark.parametrize(
    'change', [dict(alpha=0.0), dict(beta=0.0), dict(masked=False), dict(carried=False)]
)
def test_wrong_gradients_would_be_seen(kernel, batches, unit, change):
    "Each of these, forgotten on one side, is far beyond the bound of the test above"
    _, errors = gradients_of_both(kernel, batches, 2, unit, True, **change)
    assert max(errors.values()) > 5e-4, errors


# (c) training


@pytest.mark.parametrize('model', ['LMModel5', 'LMModel6', 'LMModel7: no dropout'])
def test_an_epoch_is_pytorchs(kernel, model):
    ours = kernel.train(model, 3, 100, epochs=1)[0]
    theirs = run_at(100, model, 1, seed=3)[curves].to_numpy()[0]
    gaps = np.abs(ours - theirs)
    # of the validation set's predictions, three may differ
    assert (gaps[:2] < 5e-5).all() and gaps[2] < 3.5 / 12_288, gaps


class Given(nn.Module):
    "Dropout with a mask from outside"

    mask = None

    def forward(self, x):
        return x * self.mask if self.training else x


def test_two_epochs_with_dropout_are_pytorchs(kernel, batches):
    "LMModel7 with all its tricks, PyTorch with the masks that the kernel drew"
    r = recipe('LMModel7')
    dls = human_numbers_dls(device='cpu')
    steps = 15 * len(batches)
    rate = combined_cos(0.25, r.lr / 25, r.lr, r.lr / 1e5)
    momentum = combined_cos(0.25, 0.8, 0.7, 0.8)
    at_state(0, 5)
    net = LMModel7(30, 64, 2, 0.4)
    net.drop = Given()
    adam = bare_adam(net, r.wd)
    kernel.make(2, 'LSTM', True, 5)
    kernel.set_training(r.lr, r.wd, 0.4, r.alpha, r.beta, 0.8, 0.7, 15)
    for epoch in range(2):
        net.train()
        net.reset()
        gaps = []
        for i, (xb, yb) in enumerate(batches):
            ours = kernel.train_batch()
            mask = torch.from_numpy(kernel.array('mask', 16 * 64 * 64).copy())
            net.drop.mask = mask.view(16, 64, 64).transpose(0, 1)
            k = epoch * len(batches) + i
            for group in adam.param_groups:
                group.update(lr=rate(k / steps), betas=(momentum(k / steps), 0.99))
            loss = losses(net, xb, yb, r)[2]
            loss.backward()
            adam.step()
            adam.zero_grad()
            gaps.append(abs(loss.item() - ours))
        kernel.validate()
        valid_loss, accuracy = validate(net, dls.valid, r)
        assert max(gaps) < 1e-4, (epoch, gaps)
        assert abs(valid_loss - kernel.validation_loss()) < 1e-4
        assert abs(accuracy - kernel.validation_accuracy()) < 3.5 / 12_288


def test_table_1_comes_back(kernel):
    ours = kernel.train('LMModel5', 42, book)
    gaps = np.abs(ours - published('LMModel5')[curves].to_numpy())
    # PyTorch's own runs are up to 0.000134 off, by processor: rnnlm/tables/golden.csv
    assert gaps.max() < 2e-4 and (gaps[:, 2] < 5e-5).sum() >= 10, gaps


def test_dropout_is_what_it_says(kernel):
    kernel.make(2, 'LSTM', True, 0)
    kernel.set_training(0.01, 0.1, 0.4, 2.0, 1.0, 0.8, 0.7, 15)
    kernel.train_batch()
    mask = kernel.array('mask', 16 * 64 * 64)
    kept = mask > 0
    # five standard deviations of a share of 65,536
    assert np.abs(kept.mean() - 0.6) < 5 * np.sqrt(0.24 / mask.size)
    assert np.allclose(mask[kept], 1 / 0.6)
    kernel.train_batch()
    assert (kernel.array('mask', mask.size) != mask).mean() > 0.4


# (d) what is committed


needs_compiler = pytest.mark.skipif(
    not find_spec('ziglang'), reason='there is no compiler: make wasm'
)


@needs_compiler
def test_committed_files_are_those_that_build_makes():
    command = [sys.executable, str(root / 'docs/train/build.py'), '--check']
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_compiler
def test_check_says_which_file_differs(monkeypatch, capsys):
    kept = (build.static / 'train_data.js').read_bytes()
    made = {build.here / 'train.wasm': b'another', build.static / 'train_data.js': kept}
    monkeypatch.setattr(build, 'made', lambda folder: made)
    monkeypatch.setattr(sys, 'argv', ['build.py', '--check'])
    assert build.main() == 1
    said = capsys.readouterr().out
    assert 'train.wasm' in said and 'train_data' not in said and said.count('\n') == 1
    assert (build.here / 'train.wasm').read_bytes() != b'another'
