"""A run is its seed: alone, beside others, and on data made another way."""
import pickle

import pandas as pd
import pytest
import torch

from rnnlm.study import run, study, verdict

models = ['LMModel5', 'LMModel7']


@pytest.fixture(scope='session')
def studied(tmp_path_factory): return study(models, seeds=[0, 1], out=tmp_path_factory.mktemp('study'), jobs=2)


@pytest.mark.parametrize('model', models)
def test_alone_and_beside_others(model, studied):
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    alone = run(model, 1)
    beside = studied[(studied.model == model) & (studied.seed == 1)].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, beside[alone.columns], check_exact=True)
    assert torch.get_num_threads() == threads and torch.equal(torch.random.get_rng_state(), state)


def test_seeds_differ(studied):
    last = studied[studied.epoch == 14].set_index(['model', 'seed']).valid_loss
    assert last['LMModel5', 0] != last['LMModel5', 1]


def test_verdict_has_a_row_for_each_curve(studied):
    v = verdict(studied)
    assert v.index.tolist() == [(m, c) for m in models for c in ('train_loss', 'valid_loss', 'accuracy')]
    assert v.reproduced.all()


def test_module_imports_no_vision():
    import subprocess, sys
    code = "import sys, rnnlm.study; bad = [m for m in sys.modules if m.startswith(('torchvision', 'fastai.vision', 'nbdev'))]; sys.exit(bool(bad) and str(bad))"
    p = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert p.returncode == 0, p.stderr


def test_models_pickle():
    from rnnlm.weight_tying import LMModel7
    model = LMModel7(30, 8, 2, 0.4)
    model(torch.randint(0, 30, (4, 5)))
    other = pickle.loads(pickle.dumps(model))
    assert other.h_o.weight is other.i_h.weight and torch.equal(other.h[0], model.h[0])


def test_the_chapters_own_batching_gives_the_same_table():
    "fastai's own `DataLoaders` over `group_chunks`, as the chapter makes them, instead of ready-made batches"
    from rnnlm.performance import chapter_dls
    pd.testing.assert_frame_equal(run('LMModel5', 0, dls=chapter_dls(num_workers=0)), run('LMModel5', 0), check_exact=True)


@pytest.mark.parametrize('model', ['LMModel4', 'LMModel5', 'LMModel6', 'LMModel7', 'LMModel5: batches shuffled', 'LMModel6: targets one token late', 'LMModel7: no tying', 'LMModel7: state not kept', 'LMModel6: our GRU', 'LMModel7: AWD-LSTM with a wide start'])
def test_the_stored_reference_is_what_this_code_gives(model):
    "Its first seed again: the first epoch agrees beyond what another CPU's rounding changes, where another seed's does not"
    from rnnlm.tables import reference
    ref = reference(model)
    first, second = (ref[ref.seed == s].iloc[0] for s in sorted(ref.seed.unique())[:2])
    again = run(model, int(first.seed)).iloc[0]
    columns = ['train_loss', 'valid_loss']
    assert (again[columns] - first[columns]).abs().max() < 1e-3
    assert (again[columns] - second[columns]).abs().max() > 5e-3


def test_every_variant_has_its_stored_runs():
    from rnnlm.study import variants
    from rnnlm.tables import provenance, reference
    assert set(variants) == set(provenance('variants')['models'])
    assert all(reference(v).seed.nunique() >= 16 for v in variants)
