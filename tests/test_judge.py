"""The judge: its p-value, its bounds, what it says of each case, and how the report says it."""

import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from rnnlm.replicate.judge import (
    Norm,
    bounds,
    judge,
    judge_printed,
    judge_runs,
    moved,
    nearest_mistake,
    pooled_p,
    refused_share,
    same_seed,
    smallest_shift,
)
from rnnlm.replicate.report import as_json, as_junit, headline, own_table, report, sentence, summary

nan = float('nan')


def made_up(n, first=0, epochs=4, metrics=('loss', 'score'), shift=0.0, draw=np.random.default_rng):
    "Runs of a training that nobody did: curves that fall, with noise fixed by the seed"
    frames = []
    for seed in range(first, first + n):
        noise = draw(seed).normal(0, 0.1, (len(metrics), epochs))
        curves = {
            k: i + 2 / (1 + np.arange(epochs)) + noise[i] + shift for i, k in enumerate(metrics)
        }
        frames.append(pd.DataFrame(dict(seed=seed, epoch=range(epochs), **curves)))
    return pd.concat(frames, ignore_index=True)


reference = made_up(200)
printed = made_up(1, 5000).drop(columns='seed')
mine = made_up(4, 1000)


# The p-value of a printed curve


def by_definition(curve, others):
    "The share of curves that stray at least as far, in plain Python"
    pool = [list(curve)] + [list(o) for o in others if np.isfinite(o).all()]
    strays = [0.0] * len(pool)
    for epoch in zip(*pool):
        mean = sum(epoch) / len(epoch)
        sd = (sum((x - mean) ** 2 for x in epoch) / len(epoch)) ** 0.5
        for i, x in enumerate(epoch):
            strays[i] = max(strays[i], abs(x - mean) / (sd or 1))
    as_far = sum(o >= strays[0] for o in strays)
    return (as_far + sum(not np.isfinite(o).all() for o in others)) / (len(others) + 1)


@pytest.mark.parametrize('seed', range(20))
def test_pooled_p_is_its_definition(seed):
    rng = np.random.default_rng(seed)
    n, epochs = rng.integers(1, 40), rng.integers(1, 8)
    others = rng.standard_t(3, (n, epochs))
    others[rng.random(n) < 0.1] = nan
    curve = rng.standard_t(3, epochs) * rng.choice([1, 3])
    assert pooled_p(curve, others) == pytest.approx(by_definition(curve, others), abs=1e-12)


def test_pooled_p_is_exact():
    "When the printed curve is one more of the same, each rank is equally likely"
    rng = np.random.default_rng(0)
    ranks = []
    for _ in range(4000):
        curves = rng.standard_t(2, (20, 5)).cumsum(1)
        ranks.append(round(pooled_p(curves[0], curves[1:]) * 20))
    counts = np.bincount(ranks, minlength=21)[1:]
    assert counts.sum() == 4000 and counts[-1] > 0
    assert (((counts - 200) ** 2 / 200).sum()) < 48  # chi², 19 degrees: p of 0.0003


def test_pooled_p_at_its_ends():
    others = np.zeros((9, 3))
    assert pooled_p([0, 0, 0], others) == 1
    assert pooled_p([0, 0, 1], others) == 0.1
    assert pooled_p([0, 0, 1], np.vstack([others, [nan] * 3])) == 2 / 11
    assert pooled_p([9, 9, 9], np.full((9, 3), np.inf)) == 1  # all the others diverged
    with pytest.raises(ValueError, match='curve: holds a number that is not finite'):
        pooled_p([0, 0, nan], others)
    for shape in ((9, 2), (9,), (9, 3, 1)):
        with pytest.raises(ValueError, match='others: must be seeds × epochs'):
            pooled_p([0, 0, 0], np.zeros(shape))


# Printed tables of all kinds


def test_a_table_with_holes_is_judged_by_what_is_printed():
    holes = printed.copy()
    holes.loc[1, 'loss'] = nan
    holes.loc[[0, 2, 3], 'score'] = nan
    table = judge_printed(holes, reference)
    rest = [0, 2, 3]
    curves = reference.pivot(index='seed', columns='epoch', values='loss')[rest]
    assert table.p.loss == pooled_p(printed.loss[rest], curves)
    assert table.printed.score == printed.score[1]
    assert table.reproduced.tolist() == [True, True]
    far = judge_printed(holes.assign(score=holes.score + 1), reference)
    assert far.reproduced.tolist() == [True, False]


def test_a_column_without_a_number_is_left_out():
    assert judge_printed(printed.assign(score=nan), reference).index.tolist() == ['loss']
    with pytest.raises(ValueError, match='prints no number'):
        judge_printed(printed.assign(score=nan, loss=nan), reference)


@pytest.mark.parametrize('last', [printed.tail(1), printed.tail(1).drop(columns='epoch')])
def test_a_last_row_alone(last):
    v = judge(mine, last, reference, name='coin')
    assert v.reproduced is True and set(v.printed.seeds) == {200}
    mistakes = {'far': made_up(8, shift=3), 'farther': made_up(8, shift=9)}
    wrong = last.assign(loss=last.loss + 3, score=last.score + 3)
    v = judge(mine, wrong, reference, mistakes, 'coin')
    assert v.reproduced is False and v.nearest == 'far' and v.noticed == dict(far=1, farther=1)


def test_tables_that_cannot_be_judged():
    with pytest.raises(ValueError, match='needs a column epoch, or one row'):
        judge_printed(printed.drop(columns='epoch'), reference)
    with pytest.raises(ValueError, match='prints loss at epoch 4, which the runs do not have'):
        judge_printed(printed.assign(epoch=printed.epoch + 1), reference)
    with pytest.raises(ValueError, match='^runs: lacks other; it has '):
        judge_printed(printed.rename(columns=dict(loss='other')), reference)
    with pytest.raises(ValueError, match='each seed needs the same epochs'):
        judge_printed(printed, reference[1:])


@pytest.mark.parametrize('n, said', [(20, None), (99, None), (100, True)])
def test_too_few_seeds_say_nothing(n, said):
    v = judge(made_up(n), printed, name='coin')
    assert v.printed_ok is said and v.own_ok is None and v.reproduced is said
    assert ('it takes 100' in sentence(v)) == (said is None)
    wrong = judge(made_up(n), printed.assign(loss=99.0), name='coin')
    assert wrong.reproduced is (None if said is None else False)


# Runs that diverged


def test_a_seed_that_diverged_does_not_condemn_the_rest():
    runs = mine.copy()
    runs.loc[runs.seed == 1001, 'loss'] = nan
    runs.loc[(runs.seed == 1002) & (runs.epoch == 3), 'score'] = np.inf
    v = judge(runs, printed, reference, name='coin')
    assert v.diverged == [1001, 1002] and v.reproduced is True and set(v.own.seeds) == {2}
    assert sentence(v).endswith(' Seed 1001, 1002 diverged.')
    assert own_table(v).iloc[0, 0] == f'{runs[runs.epoch == 3].loss[[3, 15]].mean():.4f}'


def test_a_seed_whose_training_ended_early_has_diverged():
    runs = mine[(mine.seed != 1001) | (mine.epoch < 2)]
    for held in (reference, None):
        v = judge(runs, printed, held, name='coin')
        assert v.diverged == [1001] and v.reproduced is (True if held is reference else None)
    assert set(judge(runs, printed, reference).own.seeds) == {3}


def test_every_seed_diverged(tmp_path):
    for n, held in ((4, reference), (4, None), (150, None)):
        v = judge(made_up(n, 1000).assign(loss=nan), printed, held, name='coin')
        assert v.reproduced is False and 'because every run diverged' in sentence(v)
        report(v, tmp_path)


def test_one_of_many_seeds_without_a_reference():
    runs = made_up(150)
    runs.loc[runs.seed == 7, 'score'] = nan
    v = judge(runs, printed, name='coin')
    assert v.reproduced is True and v.diverged == [7] and 'every run' not in sentence(v)


def test_a_reference_in_which_some_diverged():
    held = reference.copy()
    held.loc[held.seed == 5, ['loss', 'score']] = nan
    v = judge(mine, printed, held, name='coin')
    assert v.reproduced is True and v.own.index.tolist() == ['loss', 'score', 'pattern']
    v = judge(made_up(1, 5), printed, held)  # nothing to compare seed 5 with
    assert v.reproduced is True and v.same.empty


def test_a_metric_that_an_experiment_lacks_is_not_one_that_diverged():
    "Tables of two experiments in one frame: what only one of them has is `NaN` for the other"
    v = judge(mine.assign(other=nan), None, reference.assign(other=nan), name='coin')
    assert v.reproduced is True and v.diverged == [] and 'other' not in v.own.index


# The same seed


def test_the_same_seed_agrees_up_to_rounding():
    runs = made_up(3, 10)
    runs['loss'] += 5e-4
    same = same_seed(runs, reference)
    assert same.agrees.tolist() == [True] * 3 and set(same.metric) == {'loss'}
    runs.loc[runs.seed == 11, 'loss'] += 2e-3
    assert same_seed(runs, reference).agrees.tolist() == [True, False, True]
    runs = made_up(1, 10)
    runs.loc[2:, 'loss'] += 5  # chaos, after two epochs
    assert same_seed(runs, reference).agrees.tolist() == [True]
    assert same_seed(runs, reference, epochs=3).agrees.tolist() == [False]


def test_the_same_seed_without_losses_compares_all_metrics():
    kinds = dict(metrics=('accuracy', 'bleu'))
    runs = made_up(1, 3, **kinds)
    assert same_seed(runs, made_up(9, **kinds)).agrees.tolist() == [True]
    assert same_seed(runs.assign(bleu=0.0), made_up(9, **kinds)).metric.tolist() == ['bleu']


def test_a_number_that_is_missing_does_not_agree():
    runs = made_up(1, 3)
    runs.loc[1, 'loss'] = nan
    same = same_seed(runs, reference)
    assert same.agrees.tolist() == [False] and same.difference.tolist() == [np.inf]


def test_nothing_in_common_is_nothing_to_compare():
    runs = made_up(1, 3)
    assert same_seed(runs.assign(epoch=runs.epoch + 10), reference).empty
    assert same_seed(runs.rename(columns=dict(loss='a', score='b')), reference).empty
    assert same_seed(mine, reference).empty


def started(runs, weights=10.0, start=5.0):
    return runs.assign(weights=weights, start=start)


@pytest.mark.parametrize(
    'begin, start, agrees',
    [
        (dict(), 'same', False),
        (dict(start=5 + 1e-9), 'same', False),
        (dict(start=5.1), 'drawn in another order', None),
        (dict(weights=11.0), 'another number of weights', False),
        (dict(start=nan, weights=nan), 'unknown', False),
    ],
)
def test_first_weights(begin, start, agrees):
    runs = made_up(2, 3, shift=0.01)
    same = same_seed(started(runs, **begin), started(reference))
    assert set(same.start) == {start} and same.agrees.tolist() == [agrees] * 2


def test_other_first_weights_fall_back_to_the_distribution():
    "The runs are others and look right, or look wrong: the same seed has nothing to say"
    held = started(reference)
    others = made_up(4, 1000)
    others['seed'] -= 1000  # the reference has 0 to 3 too
    v = judge(started(others, start=6.0), printed, held, name='coin')
    assert list(v.same.agrees) == [None] * 4 and v.reproduced is True
    assert 'your 4 runs look like the reference' in sentence(v) and 'seed' not in sentence(v)
    far = judge(started(others.assign(loss=others.loss + 1), start=6.0), printed, held, name='coin')
    assert far.own_ok is False and 'do not look like the reference' in sentence(far)
    v = judge(started(others, start=6.0), None, started(made_up(20)), name='coin')
    assert v.reproduced is None and 'too few other runs to compare yours with' in sentence(v)
    assert 'drawn in another order' in summary([v])


def test_another_number_of_weights_is_refused():
    v = judge(started(made_up(1, 3), weights=11.0), printed, started(reference), name='coin')
    assert v.reproduced is False
    assert sentence(v).startswith('coin: NOT reproduced, because from seed 3 your code does not')
    assert 'is another model: it has another number of weights' in summary([v])


def test_seeds_of_the_reference_are_compared_with_themselves():
    v = judge(reference, printed, reference, name='coin')
    assert v.own is None and v.same.agrees.all() and len(v.same) == 200 and v.reproduced is True
    assert '200 of your runs agree with the stored run of the same seed' in sentence(v)
    v = judge(made_up(2), printed, reference, name='coin')
    assert set(v.own.seeds) == {2} and v.reproduced is True
    assert 'your 2 runs look like the reference' in sentence(v)


# The distribution


def alarms(draw, k, fits=40, fresh=500, epochs=15):
    "How often right means of `k` are refused, by bounds fitted on 200 other runs"
    refused = []
    for seed in range(fits):
        rng = np.random.default_rng(seed)
        rows = draw(rng, (200, epochs)).cumsum(1)
        means = draw(rng, (fresh * k, epochs)).cumsum(1).reshape(fresh, k, epochs).mean(1)
        scores = Norm(rows).scores(means, k)
        refused.append((scores > bounds(rows, k)[:, None]).any(0).mean())
    return np.mean(refused)


@pytest.mark.parametrize('k', [1, 2, 4])
def test_false_alarms_stay_near_the_promise(k):
    "One in 1,000 is promised; very heavy tails, which 200 runs can't show, may cost a little more"
    assert alarms(lambda rng, shape: rng.normal(size=shape), k) < 1e-3
    assert alarms(lambda rng, shape: rng.standard_t(5, shape), k) < 1e-3
    assert alarms(lambda rng, shape: rng.standard_t(3, shape), k, fits=20) < 3e-3


@pytest.mark.parametrize('k', [1, 4])
def test_a_wrong_mean_is_noticed(k):
    right = judge_runs(made_up(k, 3000), reference)
    assert right.agrees.all() and set(right.seeds) == {k}
    wrong = judge_runs(made_up(k, 3000).assign(score=lambda o: o.score + 1), reference)
    assert wrong.agrees.to_dict() == dict(loss=True, score=False, pattern=False)


def test_a_wrong_pattern_is_noticed_where_no_single_number_is():
    held = reference.assign(score=reference.loss)
    runs = made_up(8, 3000)
    runs['score'] = runs.loss + 0.12
    assert judge_runs(runs, held).agrees.to_dict() == dict(loss=True, score=True, pattern=False)


def test_runs_that_never_differ():
    "A training without chance: the same again is right, anything else is wrong"

    def same(n, first):
        return made_up(n, first).assign(loss=0.1, score=0.3)

    assert judge_runs(same(4, 1000), same(200, 0)).agrees.all()
    other = judge_runs(same(4, 1000).assign(loss=0.1001), same(200, 0))
    assert not other.agrees.loss and other.agrees.score
    half = reference.assign(score=1.0)
    assert judge_runs(mine.assign(score=1.0), half).agrees.all()


def test_runs_that_cannot_be_compared():
    with pytest.raises(ValueError, match='49 runs are too few for a bound; 50 are needed'):
        judge_runs(mine, made_up(49))
    with pytest.raises(ValueError, match='have no metric of the reference'):
        judge_runs(mine.rename(columns=dict(loss='a', score='b')), reference)
    for epochs in (made_up(4, 1000, epochs=3), mine.assign(epoch=mine.epoch + 1)):
        with pytest.raises(ValueError, match='runs: have epochs .*, the reference has'):
            judge_runs(epochs, reference)
    with pytest.raises(ValueError, match='there are none'):
        judge(mine[:0], printed, reference)


def test_a_nan_among_the_runs_is_refused():
    runs = mine.copy()
    runs.loc[2, 'loss'] = nan
    table = judge_runs(runs, reference)
    assert table.agrees.to_dict() == dict(loss=False, score=True, pattern=False)
    assert table.epoch.loss == 2


def test_what_would_have_been_noticed():
    assert refused_share(made_up(20, 700, shift=5), reference, printed) == 1
    assert refused_share(made_up(20, 700), reference, printed) < 0.2
    diverged = made_up(20, 700).assign(loss=nan)
    assert refused_share(diverged, reference, printed) == 1
    assert refused_share(made_up(20, 700, metrics=['loss'], shift=5), reference, printed) == 1
    shift = smallest_shift(reference, 'loss')
    assert 0.2 < shift < 1  # two to ten standard deviations
    late = (reference.epoch >= 2) * shift
    caught = refused_share(reference.assign(loss=reference.loss + late * 1.1), reference, printed)
    assert caught > 0.85


def test_the_nearest_mistake():
    mistakes = {'three': made_up(8, shift=3), 'nine': made_up(8, shift=9)}
    assert nearest_mistake(made_up(2, 700, shift=4), mistakes) == 'three'
    v = judge(made_up(2, 700, shift=8), printed, reference, mistakes, 'coin')
    assert v.nearest == 'nine'
    assert sentence(v).endswith('It looks most like a known mistake: nine.')
    assert judge(mine, printed, reference, mistakes).nearest is None


def test_moved():
    assert not moved(made_up(16, 1000), reference).moved.any()
    wrong = moved(made_up(16, 1000).assign(loss=9.0), reference)
    assert wrong.moved.to_dict() == dict(loss=True, score=False)
    gone = moved(made_up(16, 1000).assign(loss=nan), reference)
    assert gone.moved.to_dict() == dict(loss=True, score=False)
    with pytest.raises(ValueError, match='7 seeds, 200 others; 8 of each are needed'):
        moved(made_up(7, 1000), reference)
    with pytest.raises(ValueError, match='200 seeds, 0 others'):
        moved(reference, reference)


# In words

one = made_up(1, 1000)
cases = {
    'right': (
        judge(mine, printed, reference, name='coin'),
        True,
        'coin: reproduced, because the printed curves look like one more of 200 runs; '
        'your 4 runs look like the reference.',
    ),
    'one run': (
        judge(one, printed, reference, name='coin'),
        True,
        'coin: reproduced, because the printed curves look like one more of 200 runs; '
        'your 1 run looks like the reference.',
    ),
    'same seed': (
        judge(made_up(1), printed, made_up(40), name='coin', level=0.05),
        True,
        'coin: reproduced, because the printed curves look like one more of 40 runs; '
        'your run agrees with the stored run of the same seed.',
    ),
    'nothing printed': (
        judge(mine, None, reference, name='coin'),
        True,
        'coin: reproduced, because your 4 runs look like the reference.',
    ),
    'wrong table': (
        judge(mine, printed.assign(loss=9.0), reference, name='coin'),
        False,
        'coin: NOT reproduced, because the printed loss could hardly come from this '
        'code (200 runs, p below 0.01).',
    ),
    'wrong runs': (
        judge(mine.assign(loss=9.0), printed, reference, name='coin'),
        False,
        'coin: NOT reproduced, because your 4 runs do not look like the reference.',
    ),
    'one wrong run': (
        judge(one.assign(loss=9.0), None, reference, name='coin'),
        False,
        'coin: NOT reproduced, because your 1 run does not look like the reference.',
    ),
    'wrong seed': (
        judge(made_up(1).assign(loss=9.0), None, made_up(40), name='coin'),
        False,
        'coin: NOT reproduced, because from seed 0 your code does not give the stored run.',
    ),
    'too few': (
        judge(made_up(1), printed, name='coin'),
        None,
        'coin: undecided, because 1 run is too few to refuse a printed table; it takes 100.',
    ),
    'nothing': (
        judge(mine, name='coin'),
        None,
        'coin: undecided, because nothing is printed, and there is no reference.',
    ),
}


@pytest.mark.parametrize('case', cases)
def test_wording(case):
    v, reproduced, words = cases[case]
    assert v.reproduced is reproduced
    assert sentence(v) == words
    assert words in summary([v]).splitlines()[0]


def test_headline():
    right, wrong, unknown = (cases[o][0] for o in ('right', 'wrong table', 'too few'))
    assert headline([right, right]) == 'All reproduced.'
    assert headline([right, unknown]) == 'Undecided: coin.'
    assert headline([right, wrong, unknown]) == 'Not reproduced: coin.'


@pytest.mark.parametrize('case', cases)
def test_reports_parse_and_are_the_same_twice(case, tmp_path):
    v, reproduced, words = cases[case]
    pages = [report([v, v], tmp_path / o) for o in ('a', 'b')]
    names = {o.name for o in (tmp_path / 'a').iterdir()}
    assert names == {'report.html', 'report.md', 'verdict.json', 'junit.xml'}
    for name in names:
        assert (tmp_path / 'a' / name).read_bytes() == (tmp_path / 'b' / name).read_bytes()
    page = pages[0].read_text(encoding='utf-8')
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids)) > 20
    used = re.findall(r'(?:href="#|url\(#)([^")]*)', page)
    assert used and set(used) <= set(ids)
    assert not re.search(r'<(?:img|link|script|iframe)|@import|(?:src|href)="[^#]', page)
    assert page.count('<svg') == 2 and words.replace("'", '&#39;') in page
    assert words in (tmp_path / 'a' / 'report.md').read_text(encoding='utf-8')


def no_nan(name):
    raise AssertionError(f'{name} is not JSON')


@pytest.mark.parametrize('case', cases)
def test_programs_can_read_it(case):
    v, reproduced, words = cases[case]
    data = json.loads(as_json([v], dict(where='here')), parse_constant=no_nan)
    assert data['reproduced'] is reproduced and data['made_with'] == dict(where='here')
    assert data['tables'][0]['sentence'] == words
    suite = ET.fromstring(as_junit([v]))
    failed = [o.get('name') for o in suite if o.find('failure') is not None]
    assert suite.get('tests') == '2' and suite.get('failures') == str(len(failed))
    assert bool(failed) == (reproduced is False)


def test_json_of_what_is_not_finite():
    runs = made_up(2)
    runs.loc[runs.seed == 0, 'loss'] = np.inf
    v = judge(runs, printed, name='a "quoted" <name> & more', mistakes=dict(none=made_up(1)[:0]))
    data = json.loads(as_json([v], {}), parse_constant=no_nan)
    assert data['tables'][0]['diverged'] == [0]
    assert ET.fromstring(as_junit([v]))[0].get('classname') == v.name


def test_a_name_cannot_break_the_page(tmp_path):
    v = judge(mine, printed, reference, name='<b>"x" & y</b>')
    page = report(v, tmp_path).read_text(encoding='utf-8')
    assert '<b>' not in page and '&lt;b&gt;' in page
