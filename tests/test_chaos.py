"""One bit moved: what a pair of runs measures, and what the survey has stored."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from rnnlm import chaos
from rnnlm.ar_tar import RNNRegularizer
from rnnlm.chaos import (
    alone,
    chain,
    growth,
    in_float64,
    left_out,
    move_one,
    pair,
    rivals,
    stored_pairs,
    summary,
    watched,
)
from rnnlm.chapter import StopAfter, chapter_learner, fit
from rnnlm.replicate.experiment import train_learner
from rnnlm.rnn import LMModel5
from rnnlm.tables import provenance
from rnnlm.weight_tying import LMModel7

arms = [f'LMModel7: {o}' for o in left_out + alone]


# one bit


def test_one_weight_moves_by_one_bit():
    model = LMModel7(30, 8, 2, 0.4)
    before = [p.detach().clone() for p in model.parameters()]
    state = torch.get_rng_state()
    move_one(model)
    changed = [(p != q).sum().item() for p, q in zip(model.parameters(), before)]
    assert sum(changed) == 1
    p, q = next((p, q) for p, q, n in zip(model.parameters(), before, changed) if n)
    i = (p != q).flatten().nonzero().item()
    was, now = q.flatten()[i], p.flatten()[i].detach()
    assert was.abs() == max(o.abs().max() for o in before)
    assert now.abs() > was.abs()
    assert torch.nextafter(now, was) == was
    assert torch.equal(torch.get_rng_state(), state)


def test_several_steps_are_several_bits():
    one, three = LMModel5(30, 8, 1), LMModel5(30, 8, 1)
    three.load_state_dict(one.state_dict())
    for _ in range(3):
        move_one(one)
    move_one(three, 3)
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), three.parameters()))


# a pair


@pytest.mark.parametrize(
    'model, dtype', [('LMModel4', 'float32'), ('LMModel4', 'float64'), ('LMModel7', 'float32')]
)
def test_nothing_moved_is_a_distance_of_nothing(model, dtype):
    "With dropout too: both runs draw the same masks"
    table = pair(model, 0, steps=0, epochs=1, dtype=dtype)
    assert list(table.epoch) == [0, 1]
    assert (table.distance == 0).all()
    assert (table.iloc[1, 2:] == 0).all()


@pytest.mark.parametrize('dtype, most', [('float32', 1e-6), ('float64', 1e-14)])
def test_one_bit_moved_is_a_distance(dtype, most):
    table = pair('LMModel4', 0, epochs=1, dtype=dtype)
    assert 0 < table.distance[0] < most
    assert table.distance[1] > 0


@pytest.fixture(scope='module')
def single():
    "An epoch of LMModel7, watched: its table and its weights"
    return watched('LMModel7', 3, epochs=1)


def test_watching_changes_nothing(single):
    def make_learner():
        return chapter_learner('LMModel7').add_cb(StopAfter(1))

    frame, weights = single
    plain = train_learner(make_learner, partial(fit, model='LMModel7'), 3)
    pd.testing.assert_frame_equal(frame, plain, check_exact=True)
    assert len(weights) == 2 and weights[0].dtype == torch.float64


def test_float64_is_the_same_training(single):
    "An epoch differs by rounding alone, though the penalties are added by our own regulariser"
    double, _ = watched('LMModel7', 3, epochs=1, dtype='float64')
    assert (single[0] - double).abs().to_numpy().max() < 1e-3
    found = [o for o in in_float64('LMModel7').cbs if isinstance(o, RNNRegularizer)]
    assert [(o.alpha, o.beta) for o in found] == [(2.0, 1.0)]
    assert not any(isinstance(o, RNNRegularizer) for o in in_float64('LMModel6').cbs)


# growth


def test_growth_of_a_straight_line():
    table = pd.DataFrame(dict(distance=1e-8 * 3.0 ** np.arange(8)))
    assert growth(table) == pytest.approx(3)


def test_growth_looks_no_further_than_where_it_is_full():
    table = pd.DataFrame(dict(distance=[1e-8, 1e-6, 1e-4, 1e-2, 0.1, 0.1, 0.1]))
    assert growth(table) == pytest.approx(100)


@pytest.mark.parametrize('distance', [[0.0, 0.0, 0.0], [1e-8]])
def test_no_growth_where_there_is_none(distance):
    with pytest.raises(ValueError, match='^one: '):
        growth(pd.DataFrame(dict(distance=distance)))


# the table


@pytest.mark.parametrize('model', chain + arms + rivals)
def test_stored_pairs_are_whole(model):
    dtypes = ['float32', 'float64'] if model in chain else ['float32']
    for dtype in dtypes:
        pairs = stored_pairs(model, dtype)
        n = 4 if dtype == 'float64' and model in chain[2:] else 8
        assert pairs.seed.nunique() == n
        assert [list(o.epoch) for _, o in pairs.groupby('seed')] == [list(range(16))] * n
        assert (pairs.distance > 0).all() and (pairs.distance < 2).all()
        assert pairs[pairs.epoch > 0].notna().all(axis=None)
        start = pairs[pairs.epoch == 0].distance
        assert (start < dict(float32=1e-7, float64=1e-15)[dtype]).all()


def ends(name):
    return stored_pairs(name).query('epoch == 15').distance


def test_the_chain():
    "LMModel6 ends far apart and LMModel7 close, in float64 too"
    assert ends('LMModel6').min() > 1000 * ends('LMModel7').max()
    doubles = {o: stored_pairs(o, 'float64').query('epoch == 15').distance for o in chain}
    assert doubles['LMModel6'].min() > 0.01
    assert max(doubles[o].max() for o in ('LMModel4', 'LMModel5', 'LMModel7')) < 1e-8
    assert ends('LMModel4').min() > 0.01


def test_tying_and_a_penalty():
    """Without tying it is chaotic; without one other part it is not; without both penalties in
    between"""
    calm = [o for o in left_out if o not in ('no tying', 'no penalties')]
    assert max(ends(f'LMModel7: {o}').max() for o in calm) < 0.01
    assert ends('LMModel7: no tying').min() > 0.01
    assert 0.001 < ends('LMModel7: no penalties').median() < 0.1
    assert 0.001 < ends('LMModel7: tying alone').median() < 0.1
    others = [o for o in alone if o != 'tying alone']
    assert min(ends(f'LMModel7: {o}').median() for o in others) > 0.1


def test_provenance():
    made = provenance('chaos')
    assert made['pairs'] == 184
    assert made['threads'] == ['1'] and len(made['libraries']) == 1


def test_the_summary():
    found = summary('LMModel6')
    assert found['pairs'] == 8
    assert found['low'] <= found['growth'] <= found['high']
    assert found['epoch 0'] < found['epoch 2'] < found['epoch 4'] < found['epoch 15']


def test_survey_stores_and_resumes(tmp_path, monkeypatch, capsys):
    for name in ('left_out', 'alone', 'rivals'):
        monkeypatch.setattr(chaos, name, [])
    monkeypatch.setattr(chaos, 'pair', quick)
    to = tmp_path / 'few.csv.gz'
    table = chaos.survey(2, tmp_path / 'runs', to)
    assert len(table) == (4 * 2 + 2 * 2 + 2 * 1) * 3
    again = chaos.survey(2, tmp_path / 'runs', to)
    assert '8 of 8 runs are done already' in capsys.readouterr().out
    pd.testing.assert_frame_equal(table, again)
    pd.testing.assert_frame_equal(pd.read_csv(to), table, rtol=1e-3, check_dtype=False)
    assert (tmp_path / 'few.json').exists()


def quick(model, seed, dtype='float32'):
    "What `pair` gives, without training"
    noise = np.random.default_rng(seed).random(3)
    gap = [np.nan, 0.5, 0.25]
    return pd.DataFrame(
        dict(epoch=range(3), distance=noise, train_gap=gap, valid_gap=gap, accuracy_gap=gap)
    )
