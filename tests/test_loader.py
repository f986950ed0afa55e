"""Our loaders do what fastai's do, made as the chapter makes them, or say in one line why not."""

import io
import pickle
import random
from contextlib import redirect_stdout

import fastai.callback.progress  # noqa: F401, puts no_bar on Learner
import pytest
import torch
from fastai.callback.rnn import ModelResetter
from fastai.callback.schedule import *  # noqa: F403, puts fit_one_cycle and lr_find on Learner
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy

from rnnlm.data import (
    Rows,
    StreamLoader,
    group_chunks,
    human_numbers,
    human_numbers_dls,
    make_vocab,
    numericalize,
    stream_batches,
    tokenize,
)
from rnnlm.rnn import LMModel5

sl, bs = 16, 64


def chapter_dls(n=9_999, bs=bs):
    "fastai's loaders, as the chapter makes them"
    tokens = tokenize(human_numbers(n))
    vocab = make_vocab(tokens)
    nums = numericalize(tokens, vocab)
    seqs = [(nums[i : i + sl], nums[i + 1 : i + sl + 1]) for i in range(0, len(nums) - sl - 1, sl)]
    cut = int(0.8 * len(seqs))
    dls = DataLoaders.from_dsets(
        group_chunks(seqs[:cut], bs),
        group_chunks(seqs[cut:], bs),
        bs=bs,
        drop_last=True,
        shuffle=False,
        device='cpu',
    )
    dls.vocab = vocab
    return dls


@pytest.fixture(scope='module')
def theirs():
    return chapter_dls()


@pytest.fixture(scope='module')
def ours():
    return human_numbers_dls(device='cpu')


def learner(dls, **kwargs):
    "`LMModel5` on `dls`, always with the same weights"
    torch.manual_seed(0)
    model = LMModel5(len(dls.vocab), 8, 2)
    return Learner(
        dls,
        model,
        loss_func=CrossEntropyLossFlat(),
        metrics=accuracy,
        cbs=ModelResetter(),
        **kwargs,
    )


def quietly(learn, what, *args, **kwargs):
    "A method of `learn`, without bar and table"
    with learn.no_bar(), learn.no_logging():
        return getattr(learn, what)(*args, **kwargs)


def after(f):
    "Torch's generator after `f`, from the same state"
    torch.manual_seed(7)
    f()
    return torch.random.get_rng_state()


def equal(a, b):
    "Are these tensors, or sequences of them, the same?"
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    return len(a) == len(b) and all(map(equal, a, b))


# the same batches


@pytest.mark.parametrize('part', [0, 1])
def test_batches(theirs, ours, part):
    assert equal(list(theirs[part]), list(ours[part]))
    assert len(theirs[part]) == len(ours[part]) == len(list(ours[part]))
    assert [type(o) for o in ours[part]] == [type(o) for o in theirs[part]]


def test_what_one_asks_of_loaders(theirs, ours):
    assert ours.vocab == theirs.vocab
    assert ours.bs == theirs.bs == bs and ours.device == torch.device(theirs.device)
    assert equal(ours.one_batch(), theirs.one_batch())
    assert equal(ours.valid.one_batch(), theirs.valid.one_batch())
    assert len(ours.train_ds) == len(theirs.train_ds)
    assert len(ours.valid_ds) == len(theirs.valid_ds) == 768
    assert ours.train.n == theirs.train.n
    # the data sets have the same rows in the same order
    assert all(equal(ours.valid_ds[i], theirs.valid_ds[i]) for i in range(768))


def test_going_twice_at_once(ours):
    "Two passes do not disturb each other, and what is done to a batch does not last"
    first, second = iter(ours.train), iter(ours.train)
    xb, _ = next(first)
    before = xb.clone()
    xb.zero_()
    assert equal(next(second)[0], before)
    assert equal(ours.one_batch()[0], before)


def test_pickle(ours):
    back = pickle.loads(pickle.dumps(ours.valid))
    assert equal(list(back), list(ours.valid)) and back.vocab == ours.vocab


# the same draws

draws = {
    'a pass': lambda dls: list(dls.train),
    'a pass over the validation data': lambda dls: list(dls.valid),
    'one_batch': lambda dls: dls.one_batch(),
    'half a pass': lambda dls: [o for o, _ in zip(dls.train, range(5))],
    'a loader that is only made': lambda dls: dls.train.new(),
}


@pytest.mark.parametrize('what', draws)
def test_draws(theirs, ours, what):
    a, b = (after(lambda: draws[what](dls)) for dls in (theirs, ours))
    assert torch.equal(a, b)


def test_a_pass_draws_at_all(ours):
    assert not torch.equal(after(lambda: list(ours.train)), after(lambda: None))


def test_draws_of_python(theirs, ours):
    "fastai's loaders seed themselves from Python's `random` when they are made"
    states = []
    for dls in (theirs, ours):
        random.seed(3)
        dls.train.new()
        states.append(random.getstate())
    assert states[0] == states[1]


def test_draws_of_a_chain_of_fits():
    "Several learners, one after the other, from one seed: the numbers and the generator agree"
    seen = []
    for dls in (chapter_dls(700, 16), human_numbers_dls(bs=16, device='cpu', n=700)):
        torch.manual_seed(5)
        values = []
        for _ in range(2):
            model = LMModel5(len(dls.vocab), 8, 2)
            learn = Learner(
                dls, model, loss_func=CrossEntropyLossFlat(), metrics=accuracy, cbs=ModelResetter()
            )
            for _ in range(2):
                quietly(learn, 'fit_one_cycle', 1, 1e-2)
                values.append(list(learn.recorder.values[-1]))
            values.append(quietly(learn, 'validate'))
            quietly(learn, 'get_preds')
        seen.append((values, torch.random.get_rng_state()))
    (a, s), (b, t) = seen
    assert a == b
    assert torch.equal(s, t)


# what `Learner` offers

options = [
    {},
    dict(with_loss=True),
    dict(with_input=True),
    dict(with_decoded=True),
    dict(with_input=True, with_loss=True, with_decoded=True),
    dict(reorder=False),
    dict(ds_idx=0),
]


@pytest.mark.parametrize('kwargs', options, ids=str)
def test_get_preds(theirs, ours, kwargs):
    results, states = [], []
    for dls in (theirs, ours):
        learn = learner(dls)
        results.append(quietly(learn, 'get_preds', **kwargs))
        states.append(torch.random.get_rng_state())
    rows = 49 * bs if kwargs.get('ds_idx') == 0 else 768
    assert [len(o) for o in results[1]] == [rows] * len(results[0])
    assert equal(*results)
    assert torch.equal(*states)


def test_get_preds_of_a_loader(theirs, ours):
    a, b = (quietly(learner(o), 'get_preds', dl=o.valid) for o in (theirs, ours))
    assert len(b[0]) == 768 and equal(a, b)


def test_validate(theirs, ours):
    for kwargs in ({}, dict(ds_idx=0)):
        a, b = (quietly(learner(o), 'validate', **kwargs) for o in (theirs, ours))
        assert a == b and len(b) == 2


def test_lr_find(theirs, ours, tmp_path):
    "Which stops in the middle of a pass"
    found = []
    for dls in (theirs, ours):
        learn = learner(dls, path=tmp_path)
        quietly(learn, 'lr_find', num_it=20, show_plot=False)
        found.append((learn.recorder.lrs, [float(o) for o in learn.recorder.losses]))
    assert found[0] == found[1]


def shown(monkeypatch, f):
    "The frame that `f` shows"
    frames = []
    monkeypatch.setattr('rnnlm.data.display_df', frames.append)
    f()
    return frames[0]


def test_show_batch(ours, monkeypatch):
    xb, yb = ours.valid.one_batch()
    for show in (ours.valid.show_batch, lambda **o: ours.valid.show_batch((xb, yb), **o)):
        frame = shown(monkeypatch, lambda: show(max_n=3))
        assert list(frame) == ['text', 'text_'] and len(frame) == 3
        for row, x, y in zip(frame.itertuples(), xb, yb):
            assert row.text == ' '.join(ours.vocab[i] for i in x)
            assert row.text_.split() == [ours.vocab[i] for i in y]
    assert len(shown(monkeypatch, ours.show_batch)) == 9


def test_show_batch_without_vocabulary(monkeypatch):
    dl = StreamLoader(stream_batches(torch.arange(41), 4, 5))
    assert shown(monkeypatch, dl.show_batch).text[0] == '0 1 2 3'


@pytest.mark.parametrize('kwargs', [{}, dict(shuffle=False), dict(ds_idx=0)], ids=str)
def test_show_results(ours, monkeypatch, kwargs):
    learn = learner(ours)
    out = io.StringIO()
    with redirect_stdout(out):
        frame = shown(monkeypatch, lambda: quietly(learn, 'show_results', max_n=4, **kwargs))
    assert list(frame) == ['text', 'text_', 'pred'] and len(frame) == 4
    assert all(len(o.split()) == sl for o in frame.pred)
    rows = {' '.join(ours.vocab[i] for i in x) for x, _ in ours[kwargs.get('ds_idx', 1)].dataset}
    assert set(frame.text) <= rows
    if kwargs.get('shuffle') is False:
        xb, _ = ours.valid.one_batch()
        pred = quietly(learn, 'get_preds', with_decoded=True)[2]
        assert frame.text[0].split() == [ours.vocab[i] for i in xb[0]]
        assert frame.pred[0].split() == [ours.vocab[i] for i in pred[0]]


# what is given to a loader is used, or refused with its name

harmless = [
    dict(bs=bs),
    dict(batch_size=bs),
    dict(shuffle=False),
    dict(num_workers=0),
    dict(drop_last=True),
    dict(drop_last=False),
    dict(device='cpu'),
    dict(pin_memory=False),
    dict(timeout=0),
    dict(indexed=True),
    dict(get_idxs=lambda: list(range(768))),
]
refused = [
    dict(bs=32),
    dict(batch_size=32),
    dict(num_workers=2),
    dict(get_idxs=lambda: [1, 0]),
    dict(n=5),
    dict(sample=list),
    dict(create_batch=list),
    dict(create_item=list),
    dict(do_batch=list),
    dict(before_batch=list),
    dict(after_item=list),
    dict(shuffle_fn=list),
    dict(retain=list),
    dict(length=3),
]


def name(kwargs):
    return ', '.join(kwargs)


def made(dls, how, kwargs):
    "A loader of the validation batches, made anew or from another"
    if how == 'new':
        return dls.valid.new(**kwargs)
    return StreamLoader(dls.valid.dataset.batches, **kwargs)


@pytest.mark.parametrize('kwargs', harmless, ids=name)
@pytest.mark.parametrize('how', ['made', 'new'])
def test_taken(ours, kwargs, how):
    dl = made(ours, how, kwargs)
    assert equal(list(dl), list(ours.valid)) and len(dl) == 12


@pytest.mark.parametrize('kwargs', refused, ids=name)
@pytest.mark.parametrize('how', ['made', 'new'])
def test_refused(ours, kwargs, how):
    with pytest.raises((ValueError, TypeError)) as e:
        made(ours, how, kwargs)
    assert str(e.value).startswith(f'{name(kwargs)}: ') and '\n' not in str(e.value)


def test_shuffle_is_refused(ours):
    "`show_results` asks for `new(shuffle=True)`: there one may look, but not train"
    with pytest.raises(ValueError, match='^shuffle: .* in order$'):
        StreamLoader(ours.valid.dataset.batches, shuffle=True)
    dl = ours.valid.new(shuffle=True)
    with pytest.raises(ValueError, match='^shuffle: .* in order$'):
        list(dl)
    xb, yb = dl.one_batch()
    assert xb.shape == yb.shape == (bs, sl) and equal(xb[:, 1:], yb[:, :-1])
    assert equal(list(dl.new()), list(ours.valid))


def test_what_is_done_to_batches():
    "The hooks that `DataLoader` has around a batch are called"
    heard = []

    def one_later(batch):
        xb, yb = batch
        return xb + 1, yb

    dl = StreamLoader(
        stream_batches(torch.arange(41), 4, 5),
        after_batch=one_later,
        before_iter=lambda: heard.append('before'),
        after_iter=lambda: heard.append('after'),
    )
    for one in (dl, dl.new()):
        assert all(equal(xb, yb) for xb, yb in one)
    assert heard == ['before', 'after'] * 2


def test_other_batches(ours):
    "`new` takes other batches, of another size too"
    dl = ours.train.new(stream_batches(torch.arange(41) % 30, 4, 5))
    assert len(dl) == 2 and dl.bs == 5 and dl.vocab == ours.vocab
    assert len(quietly(learner(ours), 'get_preds', dl=dl)[0]) == 10


def test_batches_of_two_shapes():
    one, two = stream_batches(torch.arange(41), 4, 5), stream_batches(torch.arange(41), 5, 4)
    with pytest.raises(ValueError, match='^batches: all must be of one shape'):
        StreamLoader(one + two)


def test_rows():
    rows = Rows(stream_batches(torch.arange(41), 4, 5))
    assert len(rows) == 10 and len(rows.new_empty()) == 0
    for i in (-1, 10):
        with pytest.raises(IndexError, match=f'row {i} of 10'):
            rows[i]


# the way to the batches


def test_ids_of_no_words():
    ids = numericalize([], ['a'])
    assert ids.dtype == torch.int64 and ids.shape == (0,)
    with pytest.raises(ValueError, match="^tokens: 'b' is not in vocab, which has 1 words$"):
        numericalize(['b'], ['a'])


@pytest.mark.parametrize('n', [0, 1, 64])
def test_a_text_too_short(n):
    text = f'^bs: 4 rows of 16 tokens need 65 tokens for one batch; the text has {n}$'
    with pytest.raises(ValueError, match=text):
        stream_batches(torch.zeros(n, dtype=torch.long), 16, 4)


def test_a_text_just_long_enough():
    ((xb, yb),) = stream_batches(torch.arange(65), 16, 4)
    assert equal(xb.flatten(), torch.arange(64)) and equal(yb.flatten(), torch.arange(1, 65))
