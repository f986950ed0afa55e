"""AWD-LSTM beside fastai's: equal mask for mask, its errors, and where they differ on purpose."""

import ast
import copy
import inspect
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from fastai.callback import rnn as fastai_callbacks
from fastai.losses import CrossEntropyLossFlat
from fastai.text.learner import TextLearner
from fastai.text.models import awdlstm as fastai_awd
from fastai.text.models import core as fastai_core
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck
from torch.func import functional_call

from properties import often
import rnnlm
from rnnlm.ablation import compare, finals
from rnnlm.ar_tar import activation_reg, temporal_activation_reg
from rnnlm.awd_lstm import AWDLanguageModel, AWDLSTM, awd_lstm_lm_config
from rnnlm.data import human_numbers, human_numbers_dls, tokenize
from rnnlm.dropout import EmbeddingDropout, LockedDropout, WeightDropout
from rnnlm.errors import errors
from rnnlm.tables import reference
from rnnlm.weight_tying import LMModel7

seeds = st.integers(0, 10_000)
sizes = st.fixed_dictionaries(
    dict(emb_sz=st.integers(1, 12), n_hid=st.integers(1, 12), n_layers=st.integers(1, 3))
)
small = dict(emb_sz=64, n_hid=64, n_layers=2)
probabilities = ['output_p', 'hidden_p', 'input_p', 'embed_p', 'weight_p']
outdated = 'no longer true; the lesson says so in "Is it the same model as fastai\'s?"'


def theirs_as_ours(name):
    "A weight's name in our model, from its name in fastai's"
    return (
        name.replace('encoder_dp', 'embed_dp').replace('encoder', 'i_h').replace('decoder', 'h_o')
    )


def fastai_model(drop_mult=1.0, **config):
    config = fastai_awd.awd_lstm_lm_config | config
    return fastai_core.get_language_model(fastai_awd.AWD_LSTM, 30, config, drop_mult)


def twins(drop_mult=1.0, **config):
    "fastai's model and ours, with the same weights"
    theirs, ours = fastai_model(drop_mult, **config), AWDLanguageModel(30, config, drop_mult)
    weights = theirs.state_dict()
    ours.load_state_dict({theirs_as_ours(name): weights[name] for name in weights})
    return theirs, ours


def gap(some, others):
    assert len(some) == len(others)
    # NaN if there is one anywhere
    return torch.stack([(a - b).abs().max() for a, b in zip(some, others)]).max().item()


def some_ids(bs=4, sl=10, seed=0):
    return torch.randint(0, 30, (bs, sl), generator=torch.Generator().manual_seed(seed))


# parity with fastai


def three_batches(model, batches, seed, training):
    "Outputs of three batches, and the gradients of cross-entropy, AR and TAR after the last"
    model.train(training)
    model.reset()
    model.zero_grad()
    torch.manual_seed(seed)
    found = []
    for xb in batches:
        found.append(model(xb))
    loss = F.cross_entropy(found[-1][0].flatten(0, 1), batches[0].flatten())
    loss = loss + activation_reg(found[-1][2], 2.0) + temporal_activation_reg(found[-1][1], 1.0)
    loss.backward()
    outs = [o.detach() for outputs in found for o in outputs]
    return outs, [p.grad for p in model.parameters()]


@often
@given(
    sizes=sizes,
    drop_mult=st.sampled_from([0.5, 1.0, 2.0, 3.0]),
    bs=st.integers(1, 4),
    sl=st.integers(1, 7),
    seed=seeds,
    training=st.booleans(),
    tied=st.booleans(),
    bias=st.booleans(),
    pad=st.integers(0, 29),
)
def test_equal_to_fastais(sizes, drop_mult, bs, sl, seed, training, tied, bias, pad):
    "Mask for mask: outputs and gradients over three batches"
    torch.manual_seed(seed)
    theirs, ours = twins(drop_mult, **sizes, tie_weights=tied, out_bias=bias, pad_token=pad)
    batches = torch.randint(0, 30, (3, bs, sl))
    outs, grads = three_batches(theirs, batches, seed, training)
    our_outs, our_grads = three_batches(ours, batches, seed, training)
    assert gap(outs, our_outs) < 1e-5
    assert gap(grads, our_grads) < 1e-4


@pytest.mark.parametrize('left_out', [None, *probabilities])
def test_a_missing_dropout_is_noticed(left_out):
    "The control of the test above: nothing left out agrees, each single one left out does not"
    torch.manual_seed(0)
    config = dict(emb_sz=24, n_hid=40, n_layers=3)
    theirs, ours = twins(2.0, **config)
    batches = torch.randint(0, 30, (3, 4, 10))
    outs, _ = three_batches(theirs, batches, 1, True)
    other = AWDLanguageModel(30, config | ({left_out: 0.0} if left_out else {}), 2.0)
    other.load_state_dict(ours.state_dict())
    apart = gap(outs, three_batches(other, batches, 1, True)[0])
    assert apart > 1e-3 if left_out else apart < 1e-5


def test_another_seed_is_noticed():
    theirs, ours = twins(2.0, emb_sz=24, n_hid=40, n_layers=3)
    batches = torch.randint(0, 30, (3, 4, 10))
    outs, _ = three_batches(theirs, batches, 1, True)
    assert gap(outs, three_batches(ours, batches, 2, True)[0]) > 1e-3


def test_the_config_is_fastais():
    assert awd_lstm_lm_config == fastai_awd.awd_lstm_lm_config


@often
@given(drop_mult=st.floats(0, 4), n_layers=st.integers(2, 4))
def test_drop_mult_scales_all_five(drop_mult, n_layers):
    config = dict(emb_sz=4, n_hid=4, n_layers=n_layers)
    (enc, dec), ours = fastai_model(drop_mult, **config), AWDLanguageModel(30, config, drop_mult)
    expected = [enc.encoder_dp.embed_p, enc.input_dp.p, dec.output_dp.p]
    expected += [o.weight_p for o in enc.rnns] + [o.p for o in enc.hidden_dps[:-1]]
    enc, dec = ours
    found = [enc.embed_dp.p, enc.input_dp.p, dec.output_dp.p]
    found += [o.p for o in enc.rnns] + [o.p for o in enc.hidden_dps]
    assert found == expected


def epoch(dls, make):
    torch.manual_seed(0)
    learn = TextLearner(dls, make(), loss_func=CrossEntropyLossFlat())
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(1, 1e-2, wd=0.1)
    return [float(o) for o in learn.recorder.values[0]]


def test_the_same_epoch():
    "From one seed, weights drawn by each model itself, by fastai's own learner"
    dls = human_numbers_dls(device='cpu')
    a = epoch(dls, lambda: fastai_model(**small))
    b = epoch(dls, lambda: AWDLanguageModel(30, small))
    assert a == pytest.approx(b, abs=1e-4)
    assert epoch(dls, lambda: AWDLanguageModel(30, small, 2.0)) != pytest.approx(a, abs=1e-3)


@pytest.mark.parametrize('pad_token', [None, 1])
def test_gradients_checked_numerically(pad_token):
    "With fixed masks; the row of a padding id is *meant* to have another gradient"
    config = dict(emb_sz=2, n_hid=3, n_layers=2, pad_token=pad_token)
    torch.manual_seed(0)
    net = AWDLanguageModel(5, config, 2.0).double()
    names, weights = zip(*net.named_parameters())

    def logits(*ws):
        net.reset()
        torch.manual_seed(3)
        return functional_call(net, dict(zip(names, ws)), torch.tensor([[0, 1, 2, 3]]))[0]

    if pad_token is None:
        assert gradcheck(logits, weights)
    else:
        with pytest.raises(RuntimeError, match='Jacobian mismatch'):
            gradcheck(logits, weights)


# what is dropped


def watch(net, x):
    "What each dropout makes of `x`, and the weights that each layer works with"
    seen, (encoder, decoder) = {}, net

    def keep(name):
        def hook(module, inputs, output):
            seen[name] = output.detach()

        return hook

    def keep_weights(name):
        def hook(lstm, inputs):
            seen[name] = lstm.weight_hh_l0.detach()

        return hook

    spots = dict(embed=encoder.embed_dp, input=encoder.input_dp, output=decoder.output_dp)
    hooks = [module.register_forward_hook(keep(name)) for name, module in spots.items()]
    for i, module in enumerate(encoder.hidden_dps):
        hooks.append(module.register_forward_hook(keep(f'hidden{i}')))
    for i, rnn in enumerate(encoder.rnns):
        hooks.append(rnn.module.register_forward_pre_hook(keep_weights(f'weight{i}')))
    net(x)
    for hook in hooks:
        hook.remove()
    return seen


@often
@given(seed=seeds, n_layers=st.integers(2, 3))
def test_what_each_mask_drops(seed, n_layers):
    "Words as a whole and wherever they stand; units for all steps; single weights"
    torch.manual_seed(seed)
    config = dict(emb_sz=6, n_hid=7, n_layers=n_layers, pad_token=None)
    net = AWDLanguageModel(30, config | dict.fromkeys(probabilities, 0.4))
    x = torch.randint(0, 8, (3, 12))
    zero = {name: o == 0 for name, o in watch(net, x).items()}
    gone = zero['embed'].all(-1)
    assert torch.equal(gone, zero['embed'].any(-1))
    for word in x.unique():
        assert gone[x == word].unique().numel() == 1
    for name in ['output', *(f'hidden{i}' for i in range(n_layers - 1))]:
        assert torch.equal(zero[name].all(1), zero[name].any(1))
    for row, lost in zip(zero['input'], gone):
        kept = row[~lost]
        assert torch.equal(kept.all(0), kept.any(0)) or not len(kept)
    for i in range(n_layers):
        # each weight by itself: not whole rows and columns alone
        lost = zero[f'weight{i}']
        assert 0 < lost.float().mean() < 1
        assert not torch.equal(lost, lost.all(1, keepdim=True) | lost.all(0, keepdim=True))


def test_masks_differ_between_rows_and_batches():
    torch.manual_seed(0)
    config = dict(emb_sz=40, n_hid=40, n_layers=2) | dict.fromkeys(probabilities, 0.5)
    net = AWDLanguageModel(30, config)
    first, second = watch(net, some_ids()), watch(net, some_ids())
    for name in ('input', 'hidden0', 'output', 'weight0', 'weight1'):
        assert not torch.equal(first[name] == 0, second[name] == 0)
    for name in ('hidden0', 'output'):
        assert not torch.equal(first[name][0, 0] == 0, first[name][1, 0] == 0)


def test_nothing_is_dropped_in_evaluation():
    net = AWDLanguageModel(30, small, 2.0).eval()
    assert not any((o == 0).any() for name, o in watch(net, some_ids()).items())
    net.reset()
    first = net(some_ids())[0]
    net.reset()
    assert torch.equal(net(some_ids())[0], first)


def test_the_dropouts_are_ours():
    "fastai has classes of the same names"
    net = AWDLanguageModel(30, small | dict(n_layers=3))
    kinds = {type(o) for o in net.modules() if 'Dropout' in type(o).__name__}
    assert kinds == {EmbeddingDropout, LockedDropout, WeightDropout}
    assert {o.__module__ for o in kinds} == {'rnnlm.dropout'}


# sizes, state, copies


@often
@given(v=st.integers(1, 40), n=st.integers(1, 24), n_layers=st.integers(1, 3))
def test_as_many_weights_as_lmmodel7(v, n, n_layers):
    config = dict(emb_sz=n, n_hid=n, n_layers=n_layers, pad_token=None)
    models = AWDLanguageModel(v, config), LMModel7(v, n, n_layers, 0.4)
    expected = v * n + n_layers * 4 * (2 * n * n + 2 * n) + v
    assert [sum(p.numel() for p in m.parameters()) for m in models] == [expected] * 2


@often
@given(sizes=sizes, cut=st.integers(1, 9), seed=seeds)
def test_the_state_goes_on(sizes, cut, seed):
    "A text that comes in two batches is read as one, from a state that is cut off from its history"
    torch.manual_seed(seed)
    net, x = AWDLanguageModel(30, sizes).eval(), some_ids()
    whole = net(x)[0]
    net.reset()
    parts = [net(x[:, :cut])[0], net(x[:, cut:])[0]]
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-5)
    *inner, last = [sizes['n_hid']] * (sizes['n_layers'] - 1) + [sizes['emb_sz']]
    shapes = [(1, 4, n) for n in [*inner, last] for _ in range(2)]
    assert [tuple(o.shape) for o in net[0].h] == shapes
    assert not any(o.requires_grad for o in net[0].h)


@pytest.mark.parametrize('way', [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_go_on_and_are_tied(way):
    net = AWDLanguageModel(30, small).eval()
    net(some_ids())
    other = way(net)
    assert torch.equal(net(some_ids(seed=1))[0], other(some_ids(seed=1))[0])
    assert other[1].h_o.weight is other[0].i_h.weight
    assert other[0].i_h.weight is not net[0].i_h.weight


@pytest.mark.parametrize('tied', [True, False])
@pytest.mark.parametrize('bias', [True, False])
def test_tied_or_not(tied, bias):
    encoder, decoder = AWDLanguageModel(30, small | dict(tie_weights=tied, out_bias=bias))
    assert (decoder.h_o.weight is encoder.i_h.weight) == tied
    assert (decoder.h_o.bias is not None) == bias
    for w in (encoder.i_h.weight, decoder.h_o.weight):
        assert w.abs().max() <= 0.1 and w.std().item() == pytest.approx(0.2 / 12**0.5, rel=0.1)


# errors, each with the name of the argument


def encoder(**changes):
    return AWDLSTM(**(dict(vocab_sz=30, emb_sz=8, n_hid=8, n_layers=2) | changes))


def model(config=None, drop_mult=1.0):
    return AWDLanguageModel(30, config, drop_mult)


@often
@given(
    drop_mult=st.floats(0, 10),
    ps=st.fixed_dictionaries({name: st.floats(0, 1) for name in probabilities}),
)
def test_no_probability_passes_one(drop_mult, ps):
    config = dict(emb_sz=4, n_hid=4, n_layers=2) | ps
    high = [name for name, p in ps.items() if p * drop_mult > 1]
    if not high:
        model(config, drop_mult)
    else:
        with pytest.raises(ValueError, match='^drop_mult: ') as e:
            model(config, drop_mult)
        assert {name for name in probabilities if f'{name} ' in str(e.value)} == set(high)


# where ours differs on purpose, and that it still does


def not_trained(encoder, table):
    "Ids whose row gets no gradient when all are read"
    encoder.eval()
    encoder.reset()
    encoder(torch.arange(30)[None]).sum().backward()
    return table.weight.grad.eq(0).all(1).nonzero()[:, 0].tolist()


@pytest.mark.parametrize('pad_token, in_fastai, in_ours', [(1, [1], [1]), (None, [29], [])])
def test_words_that_are_not_trained(pad_token, in_fastai, in_ours):
    theirs, ours = twins(**small, pad_token=pad_token)
    assert not_trained(theirs[0], theirs[0].encoder) == in_fastai, outdated
    assert not_trained(ours[0], ours[0].i_h) == in_ours


def test_which_words_these_are():
    tokens = tokenize(human_numbers())
    share = pd.Series(tokens).value_counts(normalize=True)
    vocab = human_numbers_dls(device='cpu').vocab
    assert (vocab[1], vocab[29]) == ('.', 'thousand')
    assert list(share.index[:1]) == ['.'] and share['thousand'] > 0.14


def test_they_still_learn_as_outputs():
    theirs, _ = twins(**small)
    theirs.eval()(some_ids())[0].logsumexp(-1).sum().backward()
    assert theirs[0].encoder.weight.grad[1].abs().sum() > 0


def test_a_state_that_stays_behind():
    theirs, ours = twins(**small)
    for m in (theirs, ours):
        m.eval()
        m(some_ids())
        m.double()
    assert ours(some_ids())[0].dtype == torch.float64
    with pytest.raises(RuntimeError):
        theirs(some_ids())
        pytest.fail(outdated)
    theirs.reset()
    assert theirs(some_ids())[0].dtype == torch.float64


def rows_that_go_on(net, bs):
    "After a batch of four rows: which rows of one of `bs` do not start from zeros?"
    y = some_ids(bs, seed=1)
    net.eval()
    net.reset()
    fresh = net(y)[0]
    net.reset()
    net(some_ids())
    got = net(y)[0]
    return [not torch.allclose(a, b, atol=1e-6) for a, b in zip(got, fresh)]


@pytest.mark.parametrize('bs', [2, 6])
def test_another_batch_size(bs):
    theirs, ours = twins(**small)
    assert rows_that_go_on(ours, bs) == [False] * bs
    assert rows_that_go_on(theirs, bs) == [i < 4 for i in range(bs)], outdated
    assert rows_that_go_on(ours, 4) == [True] * 4


def first_output(net, x):
    net.eval()
    net.reset()
    return net(x)[:, 0]


def test_read_backwards():
    "fastai drops weights of one direction, and its first output depends on the last word"
    torch.manual_seed(0)
    both = fastai_awd.AWD_LSTM(30, 64, 64, 2, bidir=True, weight_p=0.5)
    x = some_ids()
    both(x)
    layer = both.rnns[0].module
    assert layer.weight_hh_l0.eq(0).float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert not layer.weight_hh_l0_reverse.eq(0).any()
    other = x.clone()
    other[:, -1] = (x[:, -1] + 1) % 30
    ours = AWDLanguageModel(30, small)[0]
    assert torch.equal(first_output(ours, x), first_output(ours, other))
    assert not torch.equal(first_output(both, x), first_output(both, other))


def test_without_dropout():
    "drop_mult=0: fastai's trains, and fails when it is evaluated"
    theirs, ours = twins(0.0, **small)
    for m in (theirs, ours):
        m.train()(some_ids())
        m.eval()
    assert ours(some_ids())[0].shape == (4, 10, 30)
    with pytest.raises(TypeError, match='cannot assign'):
        theirs(some_ids())
        pytest.fail(outdated)


def test_copies():
    theirs, ours = twins(**small)
    copy.deepcopy(ours)
    ours(some_ids())
    copy.deepcopy(ours)
    with pytest.raises(RuntimeError, match='deepcopy protocol'):
        copy.deepcopy(theirs)
        pytest.fail(outdated)


def test_probabilities_above_one():
    "fastai notices in the first batch that is trained on, ours when the model is made"
    theirs = fastai_model(5.0, **small)
    theirs.eval()(some_ids())
    with pytest.raises(RuntimeError, match='got p='):
        theirs.train()(some_ids())
    with pytest.raises(ValueError, match='drop_mult: 5.0 times input_p'):
        model(small, 5.0)


def test_a_probability_of_one():
    "All is zero; in fastai all is NaN, because zero is divided by zero"
    theirs, ours = twins(4.0, **small)
    assert ours[0].input_dp.p == 1
    assert ours(some_ids())[0].isfinite().all()
    assert theirs(some_ids())[0].isnan().all(), outdated


def test_a_dropout_that_nothing_calls():
    theirs, ours = twins(**small)
    called = []
    for i, module in enumerate(theirs[0].hidden_dps):
        module.register_forward_hook(lambda *args, i=i: called.append(i))
    theirs(some_ids())
    assert (len(theirs[0].hidden_dps), called, len(ours[0].hidden_dps)) == (2, [0], 1)


def test_no_averaged_sgd():
    dls = human_numbers_dls(n=1100, bs=8, device='cpu')
    learn = TextLearner(dls, AWDLanguageModel(30, small), loss_func=CrossEntropyLossFlat())
    assert learn.opt_func.__name__ == 'Adam'


# the guide to fastai's source

lesson = Path(rnnlm.__file__).parent.parent / 'nbs/chapter/09_awd_lstm.ipynb'


def guide():
    "The Markdown cell with the guide"
    cells = json.loads(lesson.read_text(encoding='utf-8'))['cells']
    return next(o for o in (''.join(c['source']) for c in cells) if '| fastai | the idea' in o)


def members(module):
    "Functions, classes, their methods and constants of `module`, by name, with their syntax trees"
    found = {}
    for node in ast.parse(inspect.getsource(module)).body:
        for name in names_of(node):
            found[name] = node
        for part in node.body if isinstance(node, ast.ClassDef) else []:
            found |= {f'{node.name}.{name}': part for name in names_of(part)}
    return found


def names_of(node):
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    return [o.id for o in getattr(node, 'targets', []) if isinstance(o, ast.Name)]


def named_in_the_guide():
    "`AWD_LSTM._one_hidden`, `reset` in a row stand for two methods of one class"
    named = set()
    for row in re.findall(r'^\| (`.*?) \|', guide(), re.M):
        cls = ''
        for name in re.findall('`(.*?)`', row):
            cls = name.split('.')[0] + '.' if '.' in name else cls
            named.add(name if '.' in name or not cls else cls + name)
    return named


def test_the_guide_leaves_nothing_out():
    named, found = named_in_the_guide(), members(fastai_awd)
    assert named <= set(found) and len(named) > 10
    whole = {o for o in named if '.' not in o}
    missing = {o for o in found if o not in named and o.split('.')[0] not in whole}
    # the class itself is there by its methods
    assert missing == {'__all__', 'AWD_LSTM'}


def test_what_it_says_of_other_files():
    assert {'LinearDecoder', 'get_language_model'} <= set(members(fastai_core))
    assert 'RNNRegularizer' in members(fastai_callbacks)
    for name in ('LinearDecoder', 'get_language_model', 'RNNRegularizer'):
        assert f'`{name}`' in guide()


def statements(body):
    "Of a function, those of its loops included"
    for node in body:
        yield node
        yield from statements(node.body) if isinstance(node, ast.For) else []


def test_ten_statements():
    forward = members(fastai_awd)['AWD_LSTM.forward']
    numbered = re.findall(r'\b(\d+)\. ', guide().split('ten statements')[1].split('\n\n')[1])
    assert len(list(statements(forward.body))) == 10, outdated
    assert numbered == [str(i + 1) for i in range(10)]


# the stored runs

lm7, awd = finals('LMModel7'), finals('LMModel7: AWD-LSTM')
plain = finals('LMModel7: AWD-LSTM without dropout')
wide = finals('LMModel7: AWD-LSTM with a wide start')


def test_intervals_cover_nothing_as_often_as_they_say():
    "24 of `LMModel7`'s own seeds play AWD-LSTM, 500 times, against the rest"
    rng, covers = np.random.default_rng(0), []
    for _ in range(500):
        mine = np.zeros(len(lm7), bool)
        mine[rng.choice(len(lm7), 24, replace=False)] = True
        c = compare(lm7[mine], lm7[~mine], n=1)
        covers.append(c['low'] < 0 < c['high'])
    assert np.mean(covers) == pytest.approx(0.95, abs=0.04)


def test_how_it_does_on_human_numbers():
    "Worse than `LMModel7`; without its dropouts too; and most of that is how the embedding starts"
    for values, difference in ((awd, -0.172), (plain, -0.084), (wide, -0.034)):
        c = compare(values, lm7, n=1)
        assert c['high'] < 0 and c['difference'] == pytest.approx(difference, abs=0.002)
    assert compare(wide, awd, n=1)['low'] > 0
    assert compare(awd, plain, n=1)['high'] < 0


def test_when_it_falls_behind():
    "After four epochs every run with a narrow start is behind every run with a wide one"
    at_three = {
        k: reference(f'LMModel7: {k}').query('epoch == 3').accuracy
        for k in ('AWD-LSTM', 'AWD-LSTM without dropout', 'AWD-LSTM with a wide start')
    }
    narrow = pd.concat([at_three['AWD-LSTM'], at_three['AWD-LSTM without dropout']])
    assert len(narrow) == 48 and narrow.max() < at_three['AWD-LSTM with a wide start'].min()


def test_it_has_not_learned_its_text():
    assert finals('LMModel7: AWD-LSTM', 'train_loss').mean() == pytest.approx(0.69, abs=0.01)
    assert finals('LMModel7', 'train_loss').mean() == pytest.approx(0.10, abs=0.01)


def test_where_embeddings_start():
    torch.manual_seed(0)
    loud, quiet = LMModel7(30, 64, 2, 0.4), AWDLanguageModel(30, small)[0]
    assert loud.i_h.weight.std().item() == pytest.approx(1, abs=0.1)
    assert quiet.i_h.weight.std().item() == pytest.approx(0.2 / 12**0.5, abs=0.005)


def test_its_thousands_digit():
    right = errors().query("role == 'thousands digit'").groupby('model').accuracy.mean()
    assert right['LMModel7: AWD-LSTM with a wide start'] == pytest.approx(0.11, abs=0.005)
    assert right['LMModel7'] == pytest.approx(0.36, abs=0.005)
