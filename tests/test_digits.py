"""The golden lane: printed tables come back from the states where they began, and from no other."""

from functools import partial
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from torch import nn

from rnnlm.chapter import chapter_learner, fit
from rnnlm.cpu_dropout import CPUDropout, masks, mcg31, mkl_mask, serial_mask
from rnnlm.digits import Golden, agreement, find_state, goldens, run_at, untied
from rnnlm.generator import as_numpy, at_state, draws, place, skip
from rnnlm.lstm_lm import LMModel6
from rnnlm.tables import curves, published, reader, stored

by_name = {o.name: o for o in goldens}


# The golden lane

# trained in these notebooks, which ask the same of them
in_notebooks = {
    'Table 1': '15_digits',
    'draft, LMModel5': '15_digits',
    'reader 3, LMModel7': '16_dropout_on_cpu',
}


@pytest.mark.parametrize('name', in_notebooks)
def test_printed_rows_come_back_in_a_notebook(name):
    "Cells that tests/test_notebooks.py runs"
    path = Path(__file__).parent.parent / f'nbs/replication/{in_notebooks[name]}.ipynb'
    cells = [o.source for o in nbformat.read(path, as_version=4).cells if o.cell_type == 'code']
    assert sum(f"assert golden['{name}'].returned(" in o for o in cells) == 1


@pytest.mark.parametrize('name', [o for o in by_name if o not in in_notebooks])
def test_printed_rows_come_back(name):
    "As many as come back: after them, nothing is asked of a run"
    golden = by_name[name]
    run = run_at(golden.n, golden.model, golden.rows, golden.dropout, **golden.options)
    apart = agreement(run, golden.printed)
    assert len(run) == golden.rows and golden.returned(run), apart.difference
    assert apart.difference[0] < 5e-6  # wherever we looked


@pytest.mark.parametrize('golden', goldens, ids=list(by_name))
def test_and_from_no_other_state(golden):
    "One draw too many, and the first row is another one"
    run = run_at(golden.n + 1, golden.model, 1, golden.dropout, **golden.options)
    assert not golden.returned(run)
    assert agreement(run, golden.printed).difference[0] > 1e-3


def test_another_initialisation_does_not_pass():
    def orthogonal(learn):
        for layer in learn.model.rnn.all_weights:
            nn.init.orthogonal_(layer[1])
        return learn

    golden = by_name['Table 1']
    found = find_state(
        lambda: orthogonal(chapter_learner('LMModel5')),
        partial(fit, model='LMModel5'),
        golden.printed[:1],
        [golden.n],
    )
    assert found.difference[0] > 1e-2


@pytest.mark.parametrize(
    'change',
    [
        dict(dropout=None),
        dict(dropout='logical'),
        dict(options={}),
        dict(options=dict(alpha=2.0, beta=0.0)),
    ],
)
def test_another_dropout_or_penalty_does_not_pass(change):
    "Reader 9's run needs MKL's masks, and no penalties"
    golden = by_name['reader 9, LMModel7']
    options = change.get('options', golden.options)
    run = run_at(golden.n, golden.model, 1, change.get('dropout', golden.dropout), **options)
    assert agreement(run, golden.printed).difference[0] > 1e-3


def test_tolerances_are_what_was_measured():
    seen = stored('golden.csv')
    assert set(seen.name) == set(by_name) and seen.setting.nunique() >= 6
    assert (seen.groupby(['setting', 'name']).epoch.nunique() == 15).all()
    for golden in goldens:
        assert golden.tolerance < 2e-3
        worst = seen[(seen.name == golden.name) & (seen.epoch < golden.rows)].difference.max()
        assert worst < 2e-4  # one prediction is 8.1e-5


def test_a_table_that_is_made_up_is_not_found():
    "The mean of two printed rows, over as many candidates as the notebook tries"
    both = [published('LMModel5')[:1], reader('LMModel5', 3)[:1]]
    middle = both[0].assign(**{o: (both[0][o] + both[1][o]) / 2 for o in curves})
    found = find_state(
        partial(chapter_learner, 'LMModel5'),
        partial(fit, model='LMModel5'),
        middle,
        [0, 2, 20_510, 20_570, 41_140, 16_094, 8_090, 32_254],
    )
    assert found.difference.min() > 1e-3


def test_returned_can_say_no():
    golden = by_name['Table 2']
    assert golden.returned(golden.printed)
    late = golden.printed.copy()
    late.loc[late.epoch >= golden.rows, 'valid_loss'] += 1  # rounding has taken over there
    assert golden.returned(late)
    early = golden.printed.copy()
    early.loc[1, 'valid_loss'] += 1.1 * golden.tolerance
    assert not golden.returned(early)


# The generator


@pytest.mark.parametrize('n', [0, 1, 623, 624, 625, 2**20 - 1, 2**20, 2**20 + 3, 3_000_000])
def test_place_is_what_at_state_set(n):
    at_state(n)
    assert place() == n
    at_state(n, seed=0)
    assert place(0) == n


def test_the_twin_deals_what_torch_deals():
    for n in (0, 5, 624, 100_003):
        at_state(n)
        low = as_numpy().random_raw(700) & 0x7FFFFFFF
        assert torch.empty(700, dtype=torch.int32).random_().tolist() == low.tolist()


def test_skip_is_at_state_from_here():
    at_state(1000)
    skip(24)
    assert place() == 1024


def test_draws_leaves_the_generator_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    assert draws(LMModel6, 30, 64, 2) == 70_430
    assert draws(lambda: None) == 0
    assert torch.equal(torch.get_rng_state(), before)


# Dropout's three kinds


def test_mcg31_is_mkls():
    "Asked of MKL 2026 itself: `vdRngUniform` on a stream of VSL_BRNG_MCG31"
    said = {
        1608637542: [0.749080229, 0.724823114, 0.267272816, 0.432183571, 0.479307940],
        42: [0.000000020, 0.148978870, 0.165233338, 0.667814705, 0.404618697],
        2**32 - 1: [0.000000000, 0.527356640, 0.384886508, 0.134947969, 0.223919493],
    }
    for start, uniform in said.items():
        assert np.abs(mcg31(start, 5) - uniform).max() < 6e-10


def test_mkl_mask_is_mkls():
    "`viRngBernoulli` with 0.6 on the stream that 1608637542, the first draw of seed 42, begins"
    at_state(0)
    mask = mkl_mask((65536,), 0.6)
    assert mask.sum() == 39_266 and place() == 1
    first = int(''.join(str(int(o)) for o in mask[:64]), 2)
    assert first == 0x3FA3B5BFA63F7CF1


@pytest.mark.parametrize('order', ['memory', 'logical'])
def test_serial_masks_are_torchs(order):
    x = torch.ones(16, 64, 64).transpose(0, 1) if order == 'memory' else torch.ones(64, 16, 64)
    at_state(77)
    theirs = nn.Dropout(0.4)(x) > 0
    n = place()
    at_state(77)
    assert (serial_mask((64, 16, 64), 0.6, order) == theirs.numpy()).all()
    assert place() == n == 77 + 2 * 65536


@pytest.mark.parametrize('kind', list(masks))
def test_cpu_dropout_is_a_dropout(kind):
    drop, x = CPUDropout(0.4, kind), torch.ones(64, 16, 64)
    torch.manual_seed(0)
    kept = drop(x)
    values = kept.unique()
    assert len(values) == 2 and values[0] == 0 and values[1] == pytest.approx(1 / 0.6)
    assert abs((kept > 0).float().mean() - 0.6) < 0.01  # five standard errors
    assert drop.eval()(x) is x and CPUDropout(0.0, kind)(x) is x
    assert draws(drop.train(), x) == (1 if kind == 'mkl' else 2 * x.numel())


def test_cpu_dropout_passes_gradients():
    x = torch.ones(2, 3, 4, requires_grad=True)
    out = CPUDropout(0.5, 'serial')(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


# What can't be meant


def test_place_gives_up():
    torch.manual_seed(1)
    with pytest.raises(ValueError, match='was another seed set'):
        place(42, 2**20)


def test_the_drafts_model_is_untied():
    model = untied(30)
    assert model.h_o.weight is not model.i_h.weight and draws(untied, 30) == 70_430
    out, raw, dropped = model(torch.zeros(2, 5, dtype=torch.long))
    assert out.shape == (2, 5, 30) and raw.shape == dropped.shape == (2, 5, 64)
    assert isinstance(by_name['Table 1'], Golden)
