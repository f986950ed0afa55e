"""The table of all results says what its sources say."""

import math

import pandas as pd
import pytest

from rnnlm.errors import errors, roles, surveyed
from rnnlm.generalise import kinds, summed
from rnnlm.results import costs, label_of, overview
from rnnlm.tables import reference, stored


@pytest.fixture(scope='module')
def table():
    return overview()


def test_all_models_are_there(table):
    models = set(table.index.get_level_values('model'))
    assert {label_of(o) for o in surveyed} | set(kinds) <= models
    assert table.index.is_unique and table.accuracy.is_monotonic_decreasing
    assert table['seconds'].notna().all()


@pytest.mark.parametrize('model', surveyed)
def test_a_model_of_the_chapter(table, model):
    runs = reference(model)
    last = runs[runs.epoch == 14]
    row = table.loc[label_of(model), 'as it is']
    assert row.seeds == len(last) and row.accuracy == pytest.approx(last.accuracy.mean())
    assert row.perplexity == pytest.approx(math.exp(last.valid_loss.mean()))
    by_role = errors().query('model == @model').groupby('role').accuracy.mean()
    assert row[roles].astype(float).to_dict() == pytest.approx(by_role[roles].to_dict())


def test_what_reads_in_another_way(table):
    found = stored('generalise.csv')
    for model, way in table.index:
        if way == 'as it is' and model not in kinds:
            continue
        here = found.query('kind == @model and way == @way and unread == "nine"')
        if way != 'as it is' or model != 'LMModel7':  # of which the reference has more
            assert table.loc[(model, way), 'accuracy'] == pytest.approx(here['all words'].mean())


def test_the_interval_of_a_mean():
    "0.5 and 0.7: mean 0.6, half an interval is 12.71 standard errors of 0.1"
    kinds_of_words = pd.Series({'dot': 1.0})
    row = summed(pd.Series([0.5, 0.7]), pd.Series([0.0, math.log(4)]), kinds_of_words, 10)
    assert row['accuracy'] == pytest.approx(0.6) and row['seeds'] == 2 and row['dot'] == 1
    assert row['high'] - row['accuracy'] == pytest.approx(1.2706, abs=1e-4)
    assert row['perplexity'] == pytest.approx(2)


def test_costs(tmp_path, monkeypatch):
    monkeypatch.setattr('rnnlm.results.surveyed', {'LMModel4': ''})
    monkeypatch.setattr('rnnlm.results.kinds', {})
    costs(tmp_path / 'costs.csv', rounds=2)
    table = pd.read_csv(tmp_path / 'costs.csv')
    assert table.model.tolist() == ['LMModel4'] * 2 and (table.seconds > 0).all()
    assert table['round'].tolist() == [0, 1]
