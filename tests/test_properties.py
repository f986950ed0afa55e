"""Contracts of our layers and models, tried on many shapes, options and orders of calls.

What PyTorch's layers give is in `test_lstm`, `test_gru` and `test_models`; here is what they take,
which precision they keep, and what a model remembers. Each property has a control: the same check
on something that is wrong on purpose, and has to fail."""

import copy
import io
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from properties import often
from test_models import flat, same, seeded_call
from twins import apart
from rnnlm.awd_lstm import AWDLanguageModel
from rnnlm.gru import GRU, GRUCell, LMModelGRU
from rnnlm.lstm import LSTM, LoopLSTM, LSTMCell
from rnnlm.lstm_lm import LMModel6
from rnnlm.rnn import LMModel4, LMModel5, StatefulLM
from rnnlm.weight_tying import LMModel7

size = st.integers(1, 6)
depth = st.integers(1, 3)
seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16])
stacks = {LSTM: nn.LSTM, LoopLSTM: nn.LSTM, GRU: nn.GRU}
cells = {LSTMCell: nn.LSTMCell, GRUCell: nn.GRUCell}
stack = st.sampled_from([*stacks])
sizes = dict(bs=size, sl=size, ni=size, nh=size)


# what stacks take


@often
@given(
    cls=stack,
    ni=size,
    nh=size,
    n_layers=depth,
    batch_first=st.booleans(),
    device=st.sampled_from([None, 'cpu', 'meta', torch.device('cpu')]),
    dtype=st.one_of(st.none(), dtypes),
)
def test_weights_are_made_as_asked(cls, ni, nh, n_layers, batch_first, device, dtype):
    "On the device and in the dtype of PyTorch's, which gets the same arguments, and as many"
    options = dict(batch_first=batch_first, device=device, dtype=dtype)
    ours, theirs = cls(ni, nh, n_layers, **options), stacks[cls](ni, nh, n_layers, **options)

    def kinds(m):
        return sorted((str(p.device), str(p.dtype), p.numel()) for p in m.parameters())

    assert kinds(ours) == kinds(theirs)
    assert all(p.requires_grad for p in ours.parameters())
    assert ('batch_first=False' in repr(ours)) != batch_first
    if device != 'meta':
        back = ours.to_torch()
        assert kinds(back) == kinds(theirs) and back.batch_first == batch_first


@often
@given(
    cls=st.sampled_from([*cells]),
    ni=size,
    nh=size,
    device=st.sampled_from([None, 'cpu', 'meta']),
    dtype=dtypes,
)
def test_cells_are_made_as_asked(cls, ni, nh, device, dtype):
    ours, theirs = (o(ni, nh, device=device, dtype=dtype) for o in (cls, cells[cls]))
    for m in (ours, theirs):
        assert {(p.device.type, p.dtype) for p in m.parameters()} == {(device or 'cpu', dtype)}


plain = dict(bias=True, dropout=0, bidirectional=False, proj_size=0)
values = dict(
    bias=st.booleans(),
    dropout=st.one_of(st.just(0), st.floats(0, 0.9)),
    bidirectional=st.booleans(),
    proj_size=st.integers(0, 4),
)


@often
@given(cls=stack, asked=st.fixed_dictionaries({}, optional=values))
def test_what_is_not_taken(cls, asked):
    "An option at its default is let through; the first that is not is named, in one line"
    odd = [name for name in asked if asked[name] != plain[name]]
    if not odd:
        assert list(cls(3, 4, **asked).state_dict()) == list(cls(3, 4).state_dict())
        return
    with pytest.raises(ValueError) as e:
        cls(3, 4, **asked)
    said = str(e.value)
    assert said.startswith(f'{odd[0]}: must be {plain[odd[0]]} here, not {asked[odd[0]]!r}; ')
    assert '\n' not in said


@often
@given(cls=stack, name=st.from_regex(r'[a-z_]{1,12}', fullmatch=True), value=st.integers())
def test_what_is_no_argument(cls, name, value):
    known = [*plain, 'ni', 'nh', 'n_layers', 'self', 'batch_first', 'device', 'dtype']
    if name in [*known, 'reset_after']:
        return
    with pytest.raises(TypeError, match=f'^{name}: is no argument of this stack of layers$'):
        cls(3, 4, **{name: value})


@often
@given(cls=stack, **sizes, batch_first=st.booleans(), packed=st.booleans(), seed=seeds)
def test_what_is_not_read(cls, bs, sl, ni, nh, batch_first, packed, seed):
    "A single sequence, whose error says how to make a batch of it, and a packed one"
    torch.manual_seed(seed)
    m, rows = cls(ni, nh, batch_first=batch_first), [torch.randn(sl, ni) for _ in range(bs)]
    if packed:
        with pytest.raises(TypeError, match='^x: must be a tensor, not a PackedSequence; unpack'):
            m(nn.utils.rnn.pack_sequence(rows))
        return
    with pytest.raises(ValueError, match='^x: must be ') as e:
        m(rows[0])
    as_advised = eval(str(e.value).rsplit(' is ', 1)[1], dict(x=rows[0]))
    alone = stacks[cls](ni, nh)(rows[0])[0]  # PyTorch's reads it
    assert m(as_advised)[0].squeeze(0 if batch_first else 1).shape == alone.shape


@pytest.mark.parametrize('cls', [*stacks, *cells], ids=lambda o: o.__name__)
@pytest.mark.parametrize('dtype', [torch.int64, torch.complex64, 'float32', 32], ids=str)
def test_what_is_no_dtype(cls, dtype):
    with pytest.raises(TypeError, match='^dtype: must be a dtype of floating point, not '):
        cls(3, 4, dtype=dtype)


def test_what_is_no_switch():
    for cls in stacks:
        with pytest.raises(TypeError, match='^batch_first: must be True or False, not 1$'):
            cls(3, 4, batch_first=1)


# precision


def rounded(cls, bs, sl, ni, nh, n_layers, batch_first, seed):
    "PyTorch's stack in float64 and ours in bfloat16, with numbers that both can hold, and an input"
    torch.manual_seed(seed)
    theirs = stacks[cls](ni, nh, n_layers, batch_first=batch_first).bfloat16().double()
    shape = (bs, sl, ni) if batch_first else (sl, bs, ni)
    return theirs, cls.from_torch(theirs).bfloat16(), torch.randn(shape).bfloat16()


def within_roundings(theirs, ours, x):
    "Numbers between -1 and 1 have eight bits, and each layer and step rounds anew"
    out, states = ours(x)
    wanted = theirs(x.double())[0]
    assert out.dtype == torch.bfloat16 and {o.dtype for o in flat(states)} == {torch.bfloat16}
    assert out.shape == wanted.shape and (out - wanted).abs().max() < 2**-4


@often
@given(cls=stack, **sizes, n_layers=depth, batch_first=st.booleans(), seed=seeds)
def test_all_in_bfloat16(cls, bs, sl, ni, nh, n_layers, batch_first, seed):
    within_roundings(*rounded(cls, bs, sl, ni, nh, n_layers, batch_first, seed))


@pytest.mark.parametrize('cls', stacks, ids=lambda o: o.__name__)
def test_other_weights_in_bfloat16_are_seen(cls):
    "The control: one gate's block, moved by a half"
    theirs, ours, x = rounded(cls, 3, 5, 4, 6, 2, True, 0)
    with torch.no_grad():
        ours.cells[0].ih.bias[-6:] += 0.5
    with pytest.raises(AssertionError):
        within_roundings(theirs, ours, x)


# what a model remembers

models = {
    'LMModel4': lambda v, n, n_layers: LMModel4(v, n),
    'LMModel5': LMModel5,
    'LMModel6': LMModel6,
    'LMModel7': lambda v, n, n_layers: LMModel7(v, n, n_layers, 0.4),
    'LMModelGRU': LMModelGRU,
    'LMModelGRU of our GRU': lambda v, n, n_layers: LMModelGRU(v, n, n_layers, GRU),
    'AWD-LSTM': lambda v, n, n_layers: AWDLanguageModel(
        v, dict(emb_sz=n, n_hid=n + 1, n_layers=n_layers, pad_token=None)
    ),
}
model = st.sampled_from([*models])
steps = st.lists(st.one_of(st.just('reset'), st.tuples(st.integers(1, 3), size)), max_size=7)


def made(name, n=5, n_layers=2, seed=0):
    "A model of 11 words in double precision, without dropout"
    torch.manual_seed(seed)
    m = models[name](11, n, n_layers).double().eval()
    with torch.no_grad():
        for p in m.parameters():
            p.uniform_(-0.7, 0.7)  # large enough for a state to matter, also after many steps
    return m


def goes_on(m, fresh, steps):
    "As if `fresh` read, in one batch, all since the last reset or the last change of batch size"
    text = None
    for step in steps:
        if step == 'reset':
            m.reset()
            text = None
            continue
        x = torch.randint(0, 11, step)
        go_on = text is not None and len(text) == len(x)
        text = torch.cat([text, x], 1) if go_on else x
        fresh.reset()
        wanted = flat(fresh(text))[0][:, -x.shape[1] :]
        assert apart(flat(m(x))[0], wanted) < 1e-10


@often
@given(name=model, steps=steps, n=size, n_layers=depth, seed=seeds)
def test_the_state_goes_on(name, steps, n, n_layers, seed):
    goes_on(*[made(name, n, n_layers, seed) for _ in range(2)], steps)


def forgets(m):
    "Each batch begins with zeros"
    stateful(m).keep = lambda h: None


def never_forgets(m):
    "As if `reset` did nothing"
    m.reset = lambda: None


def ignores_the_batch_size(m):
    "The first row goes on, whatever the number of rows"
    inner = stateful(m)

    def carried(emb):
        if inner.h is None:
            return None
        parts = [o[..., :1, :].expand(*o.shape[:-2], len(emb), -1) for o in flat(inner.h)]
        parts = [o.contiguous() for o in parts]
        return parts[0] if isinstance(inner.h, torch.Tensor) else tuple(parts)

    inner.carried = carried


def stateful(m):
    return m if isinstance(m, StatefulLM) else m[0]


@pytest.mark.parametrize('name', models)
@pytest.mark.parametrize('broken', [forgets, never_forgets, ignores_the_batch_size])
def test_a_wrong_memory_is_seen(name, broken):
    "The control"
    m, fresh = made(name), made(name)
    broken(m)
    with pytest.raises(AssertionError):
        goes_on(m, fresh, [(2, 3), (2, 3), 'reset', (2, 3), (3, 2)])


# copies


def saved(m):
    "Through `torch.save` of all of it"
    buffer = io.BytesIO()
    torch.save(m, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def reloaded(m):
    "Through the numbers alone, into a model of the same kind with other numbers, and its state"
    buffer, other = io.BytesIO(), copy.deepcopy(m)
    with torch.no_grad():
        for p in other.parameters():
            p.fill_(0.1)
    torch.save(m.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    return other


ways = {
    'deepcopy': copy.deepcopy,
    'pickle': lambda m: pickle.loads(pickle.dumps(m)),
    'torch.save': saved,
    'state dict': reloaded,
    'other dtype and back': lambda m: copy.deepcopy(m).double().to(next(m.parameters()).dtype),
}


def is_a_copy(m, other, x):
    "The same numbers from the same state and the same masks; what was one weight is one; no more"
    tied = [o.i_h.weight for o in m.modules() if isinstance(o, StatefulLM)]
    n = len(list(m.parameters()))
    assert len(list(other.parameters())) == n and other.training == m.training
    assert list(m.state_dict()) == list(other.state_dict())
    before = [p.detach().clone() for p in m.parameters()]
    assert same(seeded_call(m, x), seeded_call(other, x)) and tied
    with torch.no_grad():
        for p in other.parameters():
            p.add_(1)
    assert same(before, list(m.parameters()))
    for a, b in zip(m.state_dict().values(), other.state_dict().values()):
        assert torch.equal(a + 1, b)  # once, where two names have one weight


@often
@given(
    name=model,
    way=st.sampled_from(sorted(ways)),
    n=size,
    n_layers=depth,
    dtype=st.sampled_from([torch.float32, torch.float64]),
    training=st.booleans(),
    shape=st.tuples(size, size),
    seed=seeds,
)
def test_copies(name, way, n, n_layers, dtype, training, shape, seed):
    m = made(name, n, n_layers, seed).to(dtype).train(training)
    m(torch.randint(0, 11, shape))  # so that there is a state
    is_a_copy(m, ways[way](m), torch.randint(0, 11, shape))


def untied(m):
    "A copy with two weights where there was one"
    other = copy.deepcopy(m)
    other.h_o.weight = nn.Parameter(other.h_o.weight.detach().clone())
    return other


def without_state(m):
    other = copy.deepcopy(m)
    other.reset()
    return other


def with_the_same_memory(m):
    other = copy.deepcopy(m)
    other.h_o.bias = m.h_o.bias
    return other


@pytest.mark.parametrize('wrong', [untied, without_state, with_the_same_memory])
def test_a_wrong_copy_is_seen(wrong):
    "The control"
    m, x = made('LMModel7'), torch.randint(0, 11, (2, 3))
    m(x)
    with pytest.raises(AssertionError):
        is_a_copy(m, wrong(m), x)
