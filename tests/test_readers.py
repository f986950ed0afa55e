"""Readers' tables: what is stored of them is whole, and some come back here."""

import pytest

from rnnlm.digits import agreement, run_at
from rnnlm.readers import cost, known, penalty, plausible, rerun, sessions, step_form
from rnnlm.tables import provenance, reader, stored

keys = ['model', 'run']


def test_each_table_has_a_row():
    "As many as readers left, each once, and with the states that the sessions add up to"
    states, tables = stored('states.csv'), stored('readers.csv.gz')
    pairs = set(states[keys].itertuples(index=False, name=None))
    assert len(pairs) == len(states) >= 63
    assert pairs == set(tables[keys].itertuples(index=False, name=None))
    both = states.dropna(subset='n').merge(known(), on=keys, how='outer')
    assert (both.n_x == both.n_y).all()
    assert (states.first_row_difference.notna() == states.n.notna()).all()


def test_what_comes_back():
    "A known state gives the first row; a table whose state is not known has no numbers"
    states = stored('states.csv')
    assert states.first_row_difference.max() < 1e-5
    assert (states.dropna(subset='n').epochs_4_digits > 0).all()
    seven = states[states.model == 'LMModel7']
    assert set(seven.penalties) == {'recorded', 'hidden', 'off'}
    assert (seven.n.notna() == seven.dropout.notna()).all()


def test_the_search_finds_nothing_that_was_made_up():
    for model, o in provenance('states')['searches'].items():
        assert o['states'] == len(plausible(model))
        assert o['known'] > 0
        assert o['made_up'] > 50 and o['made_up_found'] == 0 and o['made_up_nearest'] > 1e-4


@pytest.mark.parametrize('model, run', [('LMModel4', 15), ('LMModel5', 18), ('LMModel7', 18)])
def test_from_its_state_and_from_no_other(model, run):
    "The printed first row comes back; two draws later it does not"
    printed = reader(model, run)
    assert agreement(rerun(model, run, epochs=1), printed).difference[0] < 1e-5
    assert agreement(rerun(model, run, epochs=1, later=2), printed).difference[0] > 1e-3


def test_without_penalties_only():
    "The tables of 2021 to 2024 need alpha = beta = 0: with the penalties, another row"
    printed = reader('LMModel7', 9)
    off = rerun('LMModel7', 9, epochs=1)
    on = run_at(193_746, 'LMModel7', epochs=1, dropout='mkl')
    assert agreement(off, printed).difference[0] < 1e-5
    assert agreement(on, printed).difference[0] > 1e-2


def test_the_installed_fastai_penalises():
    assert penalty() > 0
    assert penalty(alpha=0.0, beta=0.0) == 0


def test_a_session_is_a_sum():
    assert cost('pass') == 2
    assert cost('3 passes') == 6
    assert cost('LMModel5') == 20_510
    assert cost('2 LMModel5 for 15 epochs = run 3') == 2 * 20_570
    steps = [o for session in sessions.values() for o in session]
    assert all(step_form.fullmatch(o) for o in steps)


@pytest.mark.parametrize(
    'call, says',
    [
        (lambda: cost('LMModel9'), "step: 'LMModel9' can't be read"),
        (lambda: cost(''), "step: '' can't be read"),
        (lambda: cost('LMModel4wide'), "step: 'LMModel4wide' can't be read"),
        (lambda: plausible('LMModel3'), "model: 'LMModel3' is unknown; there are LMModel4"),
        (lambda: rerun('LMModel5', 8), 'run: LMModel5 has no run 8'),
        (lambda: rerun('LMModel9', 1), "model: 'LMModel9' is unknown"),
        (lambda: rerun('LMModel7', 1), 'run: the session of LMModel7 run 1 is not known'),
    ],
)
def test_bad_input_gives_one_line(call, says):
    with pytest.raises(ValueError) as caught:
        call()
    assert says in str(caught.value)
    assert '\n' not in str(caught.value)
