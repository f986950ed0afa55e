"""A run is its seed: alone, beside others, on the chapter's own loaders, and as it is stored."""

import pickle
import sys
from functools import partial

import pandas as pd
import pytest
import torch

from processes import call, time_limit  # noqa: F401
from rnnlm.chapter import (
    StopAfter,
    chapter_learner,
    experiment,
    fit,
    mistakes_of,
    recipe,
    recipes,
    run,
    variants,
)
from rnnlm.data import human_numbers_dls
from rnnlm.performance import chapter_dls
from rnnlm.replicate.experiment import from_learner, recorded, seeded, study, train_learner
from rnnlm.tables import provenance, reference
from rnnlm.weight_tying import LMModel7

losses = ['train_loss', 'valid_loss']


def begun(model, n, **kwargs):
    "A function that makes the learner of `model`, whose fit ends after `n` epochs"

    def make_learner():
        return chapter_learner(model, **kwargs).add_cb(StopAfter(n))

    return make_learner


def first_epochs(model, seed, n=1, **kwargs):
    "The first epochs of a run, as `run` would give them"
    return train_learner(begun(model, n, **kwargs), partial(fit, model=model), seed)


def test_the_first_epochs_are_those_of_a_whole_run():
    whole = run('LMModel5', 0)
    assert len(whole) == 15
    pd.testing.assert_frame_equal(first_epochs('LMModel5', 0, 2), whole[:2], check_exact=True)


# A run is its seed


@pytest.fixture(scope='module')
def studied(tmp_path_factory):
    "Three epochs of two models from two seeds, beside each other in two processes"
    models = ['LMModel5', 'LMModel7']
    each = [from_learner(o, begun(o, 3), partial(fit, model=o)) for o in models]
    return study(each, [0, 1], tmp_path_factory.mktemp('study'), jobs=2)


@pytest.mark.parametrize('model', ['LMModel5', 'LMModel7'])
def test_alone_and_beside_others(model, studied):
    torch.manual_seed(5)
    before = torch.get_num_threads(), torch.random.get_rng_state()
    alone = first_epochs(model, 1, 3)
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])
    beside = studied[(studied.experiment == model) & (studied.seed == 1)].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, beside[alone.columns], check_exact=True, check_dtype=False)


def test_seeds_differ(studied):
    last = studied[studied.epoch == 2].set_index(['experiment', 'seed']).valid_loss
    for model in ('LMModel5', 'LMModel7'):
        assert abs(last[model, 0] - last[model, 1]) > 5e-3


def test_models_pickle():
    model = LMModel7(30, 8, 2, 0.4)
    model(torch.randint(0, 30, (4, 5)))
    other = pickle.loads(pickle.dumps(model))
    assert other.h_o.weight is other.i_h.weight and torch.equal(other.h[0], model.h[0])


def test_the_module_imports_no_vision():
    code = '''
        import sys, rnnlm.chapter
        heavy = 'torchvision', 'fastai.vision', 'nbdev'
        bad = [o for o in sys.modules if o.startswith(heavy)]
        sys.exit(str(bad) if bad else 0)
    '''.replace('\n        ', '\n')
    p = call(sys.executable, '-c', code)
    assert p.returncode == 0, p.stderr


# The chapter's own loaders


@pytest.mark.parametrize('model', ['LMModel5', 'LMModel7'])
def test_the_chapters_own_loaders_give_the_same_table(model):
    "fastai's `DataLoaders.from_dsets` over `group_chunks`, instead of ready-made batches"
    theirs = first_epochs(model, 0, 3, dls=chapter_dls(num_workers=0))
    pd.testing.assert_frame_equal(theirs, first_epochs(model, 0, 3), check_exact=True)


@pytest.mark.parametrize('lean', [False, True])
def test_a_chain_of_fits_in_one_session(lean):
    "As who goes through the chapter makes it: one seed, then LMModel5, 5 again, and 6"

    def session(dls):
        tables = []
        with seeded(42):
            for model in ('LMModel5', 'LMModel5', 'LMModel6'):
                learn = chapter_learner(model, dls, lean=lean).add_cb(StopAfter(2))
                with learn.no_logging():
                    fit(learn, model)
                tables.append(recorded(learn.recorder))
        return pd.concat(tables, ignore_index=True)

    theirs, ours = session(chapter_dls(num_workers=0)), session(human_numbers_dls(device='cpu'))
    pd.testing.assert_frame_equal(theirs, ours, check_exact=True)
    assert abs(ours.valid_loss[0] - ours.valid_loss[2]) > 5e-3  # another run of LMModel5


# What is stored


@pytest.mark.parametrize('model', [*recipes, *variants])
def test_the_stored_runs_are_what_this_code_gives(model):
    """One epoch of the first seed again. It agrees, up to what another processor's rounding
    changes, and another seed's does not. If it fails, raise the recipe's version and make its
    runs anew."""
    stored = reference(model)
    first, second = (stored[stored.seed == s].iloc[0] for s in sorted(stored.seed.unique())[:2])
    again = first_epochs(model, int(first.seed)).iloc[0]
    assert (again[losses] - first[losses]).abs().max() < 1e-3
    assert (again[losses] - second[losses]).abs().max() > 5e-3


def test_first_weights_are_stored_too():
    for model in recipes:
        first = reference(model).iloc[0]
        table = first_epochs(model, int(first.seed))
        assert table.attrs['weights'] == first.weights
        assert table.attrs['start'] == pytest.approx(first.start, rel=1e-6)


def test_all_recipes_and_variants_have_their_stored_runs():
    assert set(recipes) == set(provenance('reference')['models'])
    assert set(variants) == set(provenance('variants')['models'])
    for name, kind, least in (('reference', recipes, 200), ('variants', variants, 16)):
        for model, made in provenance(name)['models'].items():
            runs = reference(model)
            assert runs.seed.nunique() == made['seeds'] >= least
            assert (runs.groupby('seed').epoch.nunique() == 15).all()
            assert made.get('version', '1') == recipe(model).version


def test_experiments_of_the_chapter():
    for model, n in dict(LMModel4=0, LMModel5=7, LMModel6=7, LMModel7=16).items():
        one = experiment(model)
        assert one.name == model and one.version == recipe(model).version and one.source == 'rnnlm'
        assert len(one.published) == 15 and one.reference.seed.nunique() >= 200
        assert len(mistakes_of(model)) == n
    assert experiment('LMModel5: ReLU').published is None
