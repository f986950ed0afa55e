"""One contract for fastai's learners and for ours: the same bits, events and refusals."""

import io
import warnings
from contextlib import redirect_stdout
from functools import partial

import fastai.callback.fp16  # noqa: F401, puts to_fp16 on Learner
import pytest
import torch
from fastai.callback.core import (
    Callback,
    CancelBackwardException,
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    CancelStepException,
    CancelTrainException,
    CancelValidException,
    FetchPredsCallback,
)
from fastai.callback.rnn import ModelResetter
from fastai.callback.schedule import *  # noqa: F403, puts fit_one_cycle and fine_tune on Learner
from fastai.callback.training import GradientAccumulation, GradientClip
from fastai.learner import Learner, load_learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.optimizer import SGD, Adam, OptimWrapper
from fastai.text.learner import TextLearner
from torch import nn

from precision import full_precision, needs_bfloat16_lstm  # noqa: F401, a fixture
from rnnlm.ar_tar import RecordPenalties
from rnnlm.data import human_numbers_dls
from rnnlm.learner import FlatLoss, LeanAdam, LeanLearner, LeanTextLearner
from rnnlm.lstm_lm import LMModel6
from rnnlm.rnn import LMModel4, LMModel5
from rnnlm.weight_tying import LMModel7

kinds = ['fastai', 'lean']
plain = {'fastai': Learner, 'lean': LeanLearner}
text = {'fastai': TextLearner, 'lean': LeanTextLearner}
losses = {'fastai': CrossEntropyLossFlat, 'lean': FlatLoss}
optimisers = {'fastai': Adam, 'lean': LeanAdam}
models = {
    'LMModel4': (LMModel4, (16,)),
    'LMModel5': (LMModel5, (16, 2)),
    'LMModel6': (LMModel6, (16, 2)),
    'LMModel7': (LMModel7, (16, 2, 0.4)),
}


@pytest.fixture(scope='module')
def dls():
    "Seven batches of 32 rows to train on, one to validate on"
    return human_numbers_dls(bs=32, n=1100, device='cpu')


def make(kind, dls, model='LMModel5', seed=0, loss=None, **kwargs):
    "A learner of that kind, its weights drawn from `seed`; from torch's present state if `None`"
    if seed is not None:
        torch.manual_seed(seed)
    cls, args = models[model]
    options = dict(loss_func=losses[kind](**(loss or {})), metrics=accuracy) | kwargs
    if model == 'LMModel7':
        options['cbs'] = [RecordPenalties(), *options.get('cbs', [])]
        return text[kind](dls, cls(len(dls.vocab), *args), **options)
    options['cbs'] = [ModelResetter(), *options.get('cbs', [])]
    return plain[kind](dls, cls(len(dls.vocab), *args), **options)


def quietly(learn, what, *args, **kwargs):
    "A method of `learn`, without bar and table"
    with learn.no_bar(), learn.no_logging(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return getattr(learn, what)(*args, **kwargs)


def trail(learn):
    "All that a fit leaves: records, weights, the states of the optimiser and the generator"
    rec = learn.recorder
    numbers = dict(
        values=[[float(o) for o in row] for row in rec.values],
        lrs=list(rec.lrs),
        losses=[float(o) for o in rec.losses],
        names=list(rec.metric_names),
        hypers=[dict(o) for o in learn.opt.hypers],
    )
    state = [o for s in learn.opt.state_dict()['state'] for o in s.items()]
    numbers['state'] = [o for o in state if not isinstance(o[1], torch.Tensor)]
    tensors = [
        *learn.model.state_dict().values(),
        torch.random.get_rng_state(),
        *(o for _, o in state if isinstance(o, torch.Tensor)),
    ]
    return numbers, [o.clone() for o in tensors]


def assert_equal(a, b):
    "Two trails, to the last bit"
    assert a[0] == b[0]
    assert len(a[1]) == len(b[1])
    for x, y in zip(a[1], b[1]):
        assert x.dtype == y.dtype and torch.equal(x, y)


def assert_same(f):
    "`f` gives one trail, or one result, whichever learner it is given"
    a, b = map(f, kinds)
    assert_equal(a, b)
    return a


# the same bits


@pytest.mark.parametrize('model', models)
def test_two_epochs(dls, model):
    def f(kind):
        learn = make(kind, dls, model)
        quietly(learn, 'fit_one_cycle', 2, 1e-2, wd=0.1)
        return trail(learn)

    numbers, _ = assert_same(f)
    assert len(numbers['values']) == 2 and len(numbers['losses']) == 2 * len(dls.train)


def test_the_comparison_notices_a_difference(dls):
    trails = []
    for lr in (1e-2, 1e-2 * (1 + 1e-6)):
        learn = make('lean', dls)
        quietly(learn, 'fit', 1, lr)
        trails.append(trail(learn))
    assert not torch.equal(trails[0][1][0], trails[1][1][0])


def test_chain_of_learners(dls):
    "One after the other, from the state where the one before left the generator"

    def f(kind):
        torch.manual_seed(3)
        trails = []
        for model in ('LMModel5', 'LMModel7', 'LMModel6'):
            learn = make(kind, dls, model, seed=None)
            quietly(learn, 'fit_one_cycle', 1, 1e-2)
            trails.append(trail(learn))
        return trails

    for a, b in zip(f('fastai'), f('lean')):
        assert_equal(a, b)


@pytest.mark.parametrize('model', ['LMModel5', 'LMModel7'])
def test_several_fits_in_a_row(dls, model):
    def f(kind):
        learn = make(kind, dls, model)
        quietly(learn, 'fit_one_cycle', 1, 1e-2)
        quietly(learn, 'fit', 1, 1e-3, wd=0.2)
        quietly(learn, 'fit_flat_cos', 1, 1e-3)
        quietly(learn, 'fit', 1, reset_opt=True)
        return trail(learn)

    assert_same(f)


# predictions

asked = [{}, dict(with_loss=True), dict(with_input=True, with_decoded=True)]


@pytest.mark.parametrize('model', ['LMModel5', 'LMModel7'])
@pytest.mark.parametrize('kwargs', asked, ids=str)
def test_get_preds(dls, model, kwargs):
    def f(kind):
        learn = make(kind, dls, model)
        quietly(learn, 'fit', 1, 1e-2)
        got = quietly(learn, 'get_preds', **kwargs)
        quietly(learn, 'fit', 1, 1e-2)  # and the learner is as it was
        return quietly(learn, 'validate'), [*got, *trail(learn)[1]]

    numbers, tensors = assert_same(f)
    assert len(numbers) == 2 and len(tensors[0]) == len(dls.valid_ds)


def test_fetching_predictions_in_the_middle_of_a_fit(dls):
    "Events within events"

    def f(kind):
        fetch = FetchPredsCallback()
        learn = make(kind, dls, cbs=[fetch])
        quietly(learn, 'fit', 2, 1e-2)
        return trail(learn)[0], [*fetch.preds, *trail(learn)[1]]

    assert_same(f)


# losses

options = [
    dict(),
    dict(weight=torch.linspace(0.1, 2, 30)),
    dict(ignore_index=3),
    dict(label_smoothing=0.1),
    dict(reduction='sum'),
    dict(reduction='none'),
    dict(axis=1),
    dict(flatten=False),
    dict(weight=torch.linspace(0.1, 2, 30), ignore_index=3, label_smoothing=0.1),
]


@pytest.mark.parametrize('kwargs', options, ids=lambda o: ', '.join(o) or 'none')
@pytest.mark.parametrize('dtype', [torch.int64, torch.int32])
def test_loss(kwargs, dtype):
    torch.manual_seed(0)
    out, targ = torch.randn(4, 30, 30), torch.randint(0, 30, (4, 30)).to(dtype)
    grads = []
    for kind in kinds:
        x = out.clone().requires_grad_()
        loss = losses[kind](**kwargs)(x, targ)
        loss.sum().backward()
        grads.append((loss.detach().as_subclass(torch.Tensor), x.grad))
    assert_equal(({}, grads[0]), ({}, grads[1]))
    if kwargs:
        assert not torch.equal(grads[0][1], by_default(out, targ))


def by_default(out, targ):
    "The gradient without any option"
    x = out.clone().requires_grad_()
    FlatLoss()(x, targ).backward()
    return x.grad


def test_loss_of_one_call():
    "PyTorch's own options for this call, and `reduction` set for a while, as `get_preds` does"
    out, targ = torch.randn(4, 5, 30), torch.randint(0, 30, (4, 5))
    ours, theirs = FlatLoss(), CrossEntropyLossFlat()
    for o in (ours, theirs):
        o.reduction = 'none'
    assert torch.equal(ours(out, targ), theirs(out, targ)) and ours(out, targ).shape == (20,)
    assert type(ours(out, targ)) is torch.Tensor
    assert torch.equal(ours.activation(out), theirs.activation(out))
    assert torch.equal(ours.decodes(out), theirs.decodes(out))
    for o in (ours, theirs):
        with pytest.raises(TypeError):
            o(out, targ, nonsense=1)


@pytest.mark.parametrize('kind', kinds)
def test_loss_of_an_axis_that_targets_lack(kind):
    with pytest.raises(IndexError):
        losses[kind](axis=2)(torch.randn(4, 5, 30), torch.zeros(4, 5, dtype=torch.long))


@pytest.mark.parametrize('loss', options[1:5] + options[-1:], ids=lambda o: ', '.join(o))
def test_training_with_loss_options(dls, loss):
    def f(kind, loss=loss):
        learn = make(kind, dls, loss=loss)
        quietly(learn, 'fit', 1, 1e-2)
        got = quietly(learn, 'get_preds', with_loss=True)
        return trail(learn)[0], [*got, *trail(learn)[1]]

    numbers, _ = assert_same(f)
    assert numbers['values'] != f('lean', {})[0]['values']


# saving, loading, exporting


def go_on(learn):
    "One more epoch, from a fixed state of the generator"
    torch.manual_seed(11)
    quietly(learn, 'fit', 1, 1e-2)
    return trail(learn)


@pytest.mark.parametrize('model', ['LMModel5', 'LMModel7'])
@pytest.mark.parametrize('saved', kinds)
@pytest.mark.parametrize('loaded', kinds)
def test_save_and_load(dls, model, saved, loaded, tmp_path):
    "With the optimiser: whoever saved and whoever loads, it goes on to the same numbers"
    learn = make(saved, dls, model, path=tmp_path)
    quietly(learn, 'fit', 1, 1e-2)
    quietly(learn, 'save', 'half')
    uninterrupted = go_on(learn)
    back = make(loaded, dls, model, path=tmp_path, seed=99)
    quietly(back, 'load', 'half')
    assert_equal(go_on(back), uninterrupted)


@pytest.mark.parametrize('kind', kinds)
def test_load_without_the_optimiser(dls, kind, tmp_path):
    "The control: without its state the numbers are others"
    learn = make(kind, dls, path=tmp_path)
    quietly(learn, 'fit', 1, 1e-2)
    quietly(learn, 'save', 'half')
    uninterrupted = go_on(learn)
    back = make(kind, dls, path=tmp_path, seed=99)
    quietly(back, 'load', 'half', with_opt=False)
    assert go_on(back)[0]['values'] != uninterrupted[0]['values']


def test_state_of_another_optimiser(dls):
    "SGD with momentum has averaged gradients, and Adam goes on from them"

    def f(kind):
        learn = make(kind, dls, opt_func=partial(SGD, mom=0.9))
        quietly(learn, 'fit', 1, 1e-3)
        state = learn.opt.state_dict()['state']
        learn.opt_func = optimisers[kind]
        learn.create_opt()
        learn.opt.load_state_dict(dict(state=state, hypers=learn.opt.hypers))
        return go_on(learn)

    assert_same(f)


@pytest.mark.parametrize('kind', kinds)
@pytest.mark.parametrize('model', ['LMModel5', 'LMModel7'])
def test_export(dls, kind, model, tmp_path):
    learn = make(kind, dls, model, path=tmp_path)
    quietly(learn, 'fit', 1, 1e-2)
    quietly(learn, 'save', 'before')
    quietly(learn, 'export', 'learner.pkl')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        back = load_learner(tmp_path / 'learner.pkl')
    assert type(back) is type(learn) and len(back.dls.train) == len(back.dls.valid) == 0
    assert back.dls.valid.vocab == dls.vocab
    new = back.dls.valid.new(dls.valid.dataset)
    a = quietly(learn, 'get_preds', with_loss=True)
    b = quietly(back, 'get_preds', dl=new, with_loss=True)
    assert_equal(({}, a), ({}, b))
    exported = go_on(learn)  # what was exported goes on too
    quietly(learn, 'load', 'before')
    assert_equal(go_on(learn), exported)


# learning rates and groups


def halves(model):
    "Two groups: embedding, and what comes after it"
    first = list(model.i_h.parameters())
    ids = set(map(id, first))
    return [first, [p for p in model.parameters() if id(p) not in ids]]


rates = [
    ('fit', 1e-2),
    ('fit', slice(1e-4, 1e-2)),
    ('fit_one_cycle', slice(1e-4, 1e-2)),
    ('fit_one_cycle', slice(1e-2)),
    ('fine_tune', 1e-2),
]


@pytest.mark.parametrize('what,lr', rates, ids=str)
def test_groups(dls, what, lr):
    def f(kind):
        learn = make(kind, dls, splitter=halves)
        quietly(learn, what, 1, lr)
        return trail(learn)

    numbers, _ = assert_same(f)
    first, second = [o['lr'] for o in numbers['hypers']]
    assert (first != second) == (isinstance(lr, slice) or what == 'fine_tune')


def test_freezing(dls):
    "Frozen from the start, and frozen after it has been trained"

    def f(kind):
        learn = make(kind, dls, splitter=halves)
        start = learn.model.i_h.weight.detach().clone()
        learn.freeze()
        quietly(learn, 'fit', 1, 1e-2)
        assert torch.equal(learn.model.i_h.weight, start)
        learn.unfreeze()
        quietly(learn, 'fit', 1, 1e-2)
        learn.freeze()
        quietly(learn, 'fit', 1, 1e-2)
        return trail(learn)

    assert_same(f)


def test_fine_tune_of_one_group(dls):
    "There is nothing to freeze, so all is trained twice"

    def f(kind):
        learn = make(kind, dls)
        start = learn.model.i_h.weight.detach().clone()
        quietly(learn, 'fine_tune', 1)
        assert not torch.equal(learn.model.i_h.weight, start)
        with pytest.raises(AssertionError):
            learn.opt.freeze()
        return trail(learn)

    assert_same(f)


@pytest.mark.parametrize('kind', kinds)
def test_too_many_learning_rates(dls, kind):
    with pytest.raises(AssertionError, match='Trying to set 3 values for lr'):
        quietly(make(kind, dls), 'fit', 1, [1e-3, 1e-2, 1e-1])


arguments = [
    dict(wd=0.0),
    dict(wd=0.3),
    dict(wd_bn_bias=True, wd=0.3),
    dict(train_bn=False),
    dict(moms=(0.8, 0.7, 0.8)),
    dict(lr=5e-3),
]


@pytest.mark.parametrize('kwargs', arguments, ids=str)
def test_arguments(dls, kwargs):
    def f(kind):
        learn = make(kind, dls, **kwargs)
        quietly(learn, 'fit_one_cycle', 1)
        quietly(learn, 'fit', 1)
        return trail(learn)

    assert_same(f)


def test_arguments_by_place(dls):
    "`Learner(dls, model, loss_func, opt_func, lr)`, and `alpha, beta, moms` for a `TextLearner`"

    def f(kind):
        torch.manual_seed(0)
        opt_func = partial(optimisers[kind], eps=1e-4)
        learn = plain[kind](dls, LMModel4(30, 8), losses[kind](), opt_func, 3e-3)
        quietly(learn, 'fit', 1)
        return trail(learn)

    numbers, _ = assert_same(f)
    assert numbers['hypers'][0]['eps'] == 1e-4 and numbers['hypers'][0]['lr'] == 3e-3

    def g(kind):
        torch.manual_seed(0)
        model = LMModel7(30, 8, 1, 0.1)
        learn = text[kind](dls, model, 3.0, 2.0, (0.9, 0.8, 0.9), loss_func=losses[kind]())
        quietly(learn, 'fit', 1)
        return trail(learn)

    assert_same(g)


def test_another_optimiser(dls):
    "fastai's Adam, and one of PyTorch's, in either learner"

    def f(kind):
        learn = make(kind, dls, opt_func=partial(OptimWrapper, opt=torch.optim.AdamW))
        quietly(learn, 'fit', 1, 1e-2)
        values = [[float(o) for o in row] for row in learn.recorder.values]
        return values, [*learn.model.state_dict().values()]

    assert_same(f)
    trails = []
    for opt in (Adam, LeanAdam):
        learn = make('lean', dls, opt_func=opt)
        quietly(learn, 'fit', 1, 1e-2)
        trails.append(trail(learn))
    assert_equal(*trails)


@pytest.mark.parametrize('kind', kinds)
def test_no_closure(kind):
    opt = optimisers[kind]([nn.Parameter(torch.zeros(2))], lr=1.0)
    with pytest.raises(NotImplementedError, match='closure'):
        opt.step(lambda: 0)


class Sometimes(nn.Module):
    "A layer that only every other batch goes through"

    def __init__(self):
        super().__init__()
        self.emb, self.extra, self.out = nn.Embedding(30, 8), nn.Linear(8, 8), nn.Linear(8, 30)
        self.n = 0

    def forward(self, x):
        self.n += 1
        h = self.emb(x)
        return self.out(h + self.extra(h) if self.n % 2 else h)


def test_parameters_without_a_gradient(dls):
    "fastai leaves zeros where there was a gradient, so momentum and weight decay go on"

    def f(kind):
        torch.manual_seed(0)
        seen = []

        def look(self):
            seen.extend(p.grad for p in self.model.parameters())

        watch = Callback(after_batch=look)
        learn = plain[kind](dls, Sometimes(), loss_func=losses[kind](), cbs=watch)
        quietly(learn, 'fit', 1, 1e-2)
        assert all(o is not None and not o.any() for o in seen)
        return trail(learn)

    assert_same(f)


# mixed precision


class Autocast(Callback):
    "bfloat16 in the forward pass and the loss, on the CPU"

    order = 10

    def before_batch(self):
        self.context = torch.autocast('cpu', torch.bfloat16)
        self.context.__enter__()

    def after_loss(self):
        self.context.__exit__(None, None, None)


@needs_bfloat16_lstm
@pytest.mark.parametrize('model', models)
def test_mixed_precision(dls, model):
    def f(kind, cbs=True):
        learn = make(kind, dls, model, cbs=[Autocast()] * cbs)
        quietly(learn, 'fit', 1, 1e-2)
        return trail(learn)

    numbers, _ = assert_same(f)
    assert numbers['values'] != f('lean', False)[0]['values']


@pytest.mark.parametrize('how', ['to_fp16', 'to_bf16'])
def test_fastais_mixed_precision(dls, how):
    "Which does nothing without a GPU, but goes through the same events"

    def f(kind):
        learn = make(kind, dls)
        quietly(learn, how)
        quietly(learn, 'fit', 1, 1e-2)
        quietly(learn, 'to_fp32')
        quietly(learn, 'fit', 1, 1e-2)
        return trail(learn)

    assert_same(f)


# events


class Hears(Callback):
    "Writes down every event that it is called for"

    def __init__(self, log, order=0, name='hears'):
        self.log, self.order, self.label = log, order, name

    def __call__(self, event_name):
        self.log.append((self.label, event_name, self.training))
        super().__call__(event_name)


class Batches(Callback):
    "Writes down what it has methods for, a few of all"

    def __init__(self, log, order=0, name='batches'):
        self.log, self.order, self.label = log, order, name

    def note(self, event_name):
        self.log.append((self.label, event_name, getattr(self.learn, 'iter', None)))

    def before_batch(self):
        self.note('before_batch')

    def after_pred(self):
        self.note('after_pred')

    def after_step(self):
        self.note('after_step')

    def after_batch(self):
        self.note('after_batch')

    def after_epoch(self):
        self.note('after_epoch')


def heard(dls, prepare, epochs=2):
    "What a log holds after a fit under each learner, which is the same"
    logs = []
    for kind in kinds:
        log = []
        learn = make(kind, dls)
        prepare(learn, log)
        quietly(learn, 'fit', epochs, 1e-2)
        logs.append(log)
    assert logs[0] == logs[1]
    return logs[0]


def test_a_callback_that_hears_everything(dls):
    log = heard(dls, lambda learn, log: learn.add_cb(Hears(log)))
    events = [o for _, o, _ in log]
    per_batch = [
        'before_batch',
        'after_pred',
        'after_loss',
        'before_backward',
        'after_backward',
        'before_step',
        'after_step',
        'after_batch',
    ]
    assert events[:3] == ['before_fit', 'before_epoch', 'before_train']
    assert events[3:11] == per_batch
    assert events[-1] == 'after_fit'
    trained, validated = 2 * len(dls.train), 2 * len(dls.valid)
    assert events.count('before_step') == trained
    assert events.count('after_pred') == trained + validated


def test_order(dls):
    "Several callbacks, before and after those of fastai, called in their order"

    def prepare(learn, log):
        learn.add_cbs(
            [
                Batches(log, 90, 'last'),
                Hears(log, -90, 'first'),
                Batches(log, 1, 'one'),
                Batches(log, 1, 'two'),
            ]
        )

    log = heard(dls, prepare)
    batch = [o for o, event, _ in log if event == 'after_pred'][:4]
    assert batch == ['first', 'one', 'two', 'last']


class Changes(Callback):
    "Does one thing in the third batch of a fit, and another in the fifth"

    order = -50

    def __init__(self, first, second, event):
        self.todo = {2: first, 4: second}
        self.event = event

    def change(self, event):
        if self.training and event == self.event and self.iter in self.todo:
            self.todo.pop(self.iter)(self.learn)

    def before_batch(self):
        self.change('before_batch')

    def after_pred(self):
        self.change('after_pred')


def append(cb, learn):
    "As some do, past `add_cb`"
    cb.learn = learn
    learn.cbs.append(cb)


def swap(a, b, learn):
    "`b` in the place of `a`"
    b.learn = learn
    learn.cbs[learn.cbs.index(a)] = b


def exchange(a, b, learn):
    "As many callbacks as before, but others"
    learn.remove_cb(a)
    learn.add_cb(b)


def set_anew(cbs, learn):
    "Another list, not the same one changed"
    for cb in cbs:
        cb.learn = learn
    learn.cbs = learn.cbs.filter(lambda o: not isinstance(o, Batches)) + cbs


def add(cb, learn):
    learn.add_cb(cb)


def remove(cb, learn):
    learn.remove_cb(cb)


def take(cb, learn):
    learn.cbs.remove(cb)


ways = {
    'add_cb, remove_cb': lambda a, b: [partial(add, a), partial(remove, a)],
    'past add_cb': lambda a, b: [partial(append, a), partial(take, a)],
    'one for another': lambda a, b: [partial(append, a), partial(exchange, a, b)],
    'in its place': lambda a, b: [partial(append, a), partial(swap, a, b)],
    'set anew': lambda a, b: [partial(set_anew, [a]), partial(set_anew, [])],
}


@pytest.mark.parametrize('event', ['before_batch', 'after_pred'])
@pytest.mark.parametrize('way', ways)
def test_callbacks_that_come_and_go(dls, way, event):
    "In the middle of a pass, by any way there is"

    def prepare(learn, log):
        first, second = ways[way](Batches(log, 5, 'a'), Hears(log, 5, 'b'))
        learn.add_cb(Changes(first, second, event))

    log = heard(dls, prepare, 1)
    assert ('b' in {o for o, _, _ in log}) == (way in ('one for another', 'in its place'))
    assert [i for o, event, i in log if (o, event) == ('a', 'after_batch')] == [2, 3]
    # it is heard in the batch in which it came
    assert ('a', 'after_step', 2) in log and ('a', 'after_pred', 3) in log


def test_a_method_that_comes_late(dls):
    "Given to a callback between two passes, or between two fits"

    def prepare(learn, log):
        late = Callback()

        def listen(self):
            if self.epoch == 1:
                late.after_pred = lambda: log.append('after_pred')

        learn.add_cbs([late, Callback(before_train=listen)])

    log = heard(dls, prepare)
    assert len(log) == len(dls.train) + len(dls.valid)
    for kind in kinds:
        log = []
        late, learn = Callback(), make(kind, dls)
        learn.add_cb(late)
        quietly(learn, 'fit', 1)
        late.before_step = lambda: log.append('before_step')
        quietly(learn, 'fit', 1)
        assert len(log) == len(dls.train)


def test_a_callback_that_is_switched_off(dls):
    "`run` is false for the rest of a fit, `run_train` and `run_valid` for good"

    def prepare(learn, log):
        one, two, three = (Batches(log, name=o) for o in ('fit', 'train', 'valid'))
        two.run_train = three.run_valid = False
        learn.add_cbs([one, two, three])
        learn.add_cb(Callback(after_batch=lambda self: setattr(one, 'run', self.iter != 3)))

    def twice(learn, log):
        prepare(learn, log)
        quietly(learn, 'fit', 1)

    log = heard(dls, twice)
    assert {o for o, _, _ in log} == {'fit', 'train', 'valid'}


cancels = [
    ('after_pred', CancelBatchException),
    ('before_backward', CancelBackwardException),
    ('before_step', CancelStepException),
    ('before_batch', CancelTrainException),
    ('before_batch', CancelValidException),
    ('after_loss', CancelEpochException),
    ('after_batch', CancelFitException),
]


@pytest.mark.parametrize('event,error', cancels, ids=lambda o: getattr(o, '__name__', o))
def test_cancelling(dls, event, error):
    def stop(self):
        if self.training == (error is not CancelValidException) and self.iter == 0:
            raise error()

    def prepare(learn, log):
        learn.add_cbs([Callback(**{event: stop}), Hears(log, 99)])

    log = heard(dls, prepare)
    kind = error.__name__[len('Cancel') : -len('Exception')].lower().replace('valid', 'validate')
    assert f'after_cancel_{kind}' in {o for _, o, _ in log}


@pytest.mark.parametrize('kind', kinds)
def test_an_error_in_a_callback(dls, kind):
    "It ends the fit and says where it was; the next fit is as if nothing had been"

    def fail(self):
        if self.iter == 2:
            raise ZeroDivisionError('in here')

    learn, log = make(kind, dls), []
    bad = Callback(after_loss=fail)
    learn.add_cb(bad)
    with pytest.raises(ZeroDivisionError, match='when calling event `after_loss`:\n\tin here'):
        quietly(learn, 'fit', 1)
    learn.remove_cb(bad)
    learn.add_cb(Hears(log))
    quietly(learn, 'fit', 1)
    assert [o for _, o, _ in log].count('after_step') == len(dls.train)


@pytest.mark.parametrize('kind', kinds)
def test_unknown_events(dls, kind):
    learn = make(kind, dls)
    for event in ('nonsense', ['before_fit', 'nonsense']):
        with pytest.raises(Exception, match='^missing nonsense$'):
            learn(event)
    with pytest.raises(AssertionError, match='unknown events'):
        Callback(nonsense=print)


@pytest.mark.parametrize('kind', kinds)
def test_calling_a_learner(dls, kind):
    "One event, or several"
    log = []
    learn = plain[kind](
        dls, LMModel4(30, 8), loss_func=losses[kind](), cbs=Hears(log), default_cbs=False
    )
    learn('before_batch')
    learn(['after_pred', 'before_fit'])
    assert [o for _, o, _ in log] == ['after_create', 'before_batch', 'after_pred', 'before_fit']


def test_training_loop_shown(dls):
    outs = []
    for kind in kinds:
        out = io.StringIO()
        with redirect_stdout(out):
            make(kind, dls).show_training_loop()
        outs.append(out.getvalue())
    assert outs[0] == outs[1] and 'TrainEvalCallback' in outs[0]


@pytest.mark.parametrize('cls,size', [(GradientClip, 0.1), (GradientAccumulation, 64)])
def test_fastais_callbacks(dls, cls, size):
    def f(kind):
        learn = make(kind, dls, cbs=[cls(size)])
        quietly(learn, 'fit', 1, 1e-2)
        return trail(learn)

    assert_same(f)


# penalties


@pytest.mark.parametrize('kind', kinds)
def test_a_text_learner_penalises(dls, kind):
    "fastai 2.2.0 to 2.8.3 left the penalties out, silently"
    learn = make(kind, dls, 'LMModel7')
    quietly(learn, 'fit', 1, 1e-2)
    row = dict(zip(learn.recorder.metric_names[1:], learn.recorder.values[0]))
    assert row['train_loss'] > row['plain_loss'] + 1e-4
    learn = make(kind, dls, 'LMModel7', alpha=0.0, beta=0.0)
    quietly(learn, 'fit', 1, 1e-2)
    row = dict(zip(learn.recorder.metric_names[1:], learn.recorder.values[0]))
    assert row['train_loss'] == row['plain_loss']
