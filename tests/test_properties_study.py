"""Contracts of the store and of the judge, whatever the metrics are called and whatever they do."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import rnnlm.replicate.report as reports
from processes import running, time_limit  # noqa: F401
from properties import often
from test_judge import by_definition, no_nan
from rnnlm.replicate.experiment import Experiment, study
from rnnlm.replicate.judge import judge, judge_printed
from rnnlm.replicate.report import as_json, as_junit, report, sentence, summary
from rnnlm.replicate.store import Run, Store, metrics_of, not_metrics

nan, inf = float('nan'), float('inf')
names = st.text(min_size=1, max_size=8).filter(lambda o: o not in not_metrics)
numbers = st.one_of(
    st.floats(-1e6, 1e6),
    st.integers(-(10**9), 10**9),
    st.sampled_from([0, 1, 5e-324, 1e-300, 1e300, True]),
)


# the store under kills

nursery = '''
import json, os, sys
from rnnlm.replicate.store import Run, Store
{more}

for line in sys.stdin:                                             # a folder and its runs
    out, runs = json.loads(line)
    child = os.fork()
    if child == 0:
        store = Store(out)
        with open(out + '/said', 'a') as said:
            for i, run in enumerate(runs):
                store.add(Run(*run))
                said.write(f'{{i}} is kept\\n')
                said.flush()
        os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
    print('ended', flush=True)
'''
says_it_too_early = '''
class Store(Store):
    "Wrong: it keeps a run when the next one comes"
    late = None

    def add(self, run):
        if self.late:
            super().add(self.late)
        self.late = run
'''


@contextlib.contextmanager
def children(more=''):
    "A function that starts a process that adds runs; to fork one takes milliseconds"
    with running(sys.executable, '-c', nursery.format(more=more), stderr=subprocess.DEVNULL) as p:

        def start(out, runs):
            print(json.dumps([str(out), runs]), file=p.stdin, flush=True)
            return int(p.stdout.readline()), p.stdout.readline

        yield start


@pytest.fixture(scope='module')
def start():
    with children() as start:
        yield start


runs_to_keep = st.lists(
    st.builds(
        lambda name, seed, curves: [name, '1', 'torch', seed, curves, {}],
        name=st.sampled_from(['coin', 'a "die"', 'Würfel']),
        seed=st.integers(0, 2**63 - 1),
        curves=st.integers(1, 3).flatmap(
            lambda n: st.dictionaries(
                names,
                st.lists(st.one_of(st.none(), numbers), min_size=n, max_size=n),
                min_size=1,
                max_size=3,
            )
        ),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda o: (o[0], o[3]),
)


def keeps_what_it_said(start, folder, runs, kills):
    "After each kill, what was said to be kept is there, unharmed, and nothing else is"
    given = {(o[0], o[3]): o[4] for o in runs}
    order, kept = list(given), set()
    for after, pause in kills:
        (folder / 'said').write_text('')
        child, ended = start(folder, runs)
        until = time.monotonic() + 20
        while (n := (folder / 'said').read_text().count('\n')) < min(after, len(runs)):
            assert time.monotonic() < until, 'nothing was kept'
        time.sleep(pause)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        ended()
        n = (folder / 'said').read_text().count('\n')
        found = {(o.name, o.seed): o.curves for o in Store(folder).load()}
        assert kept | set(order[:n]) <= set(found) <= set(order)
        assert all(found[o] == given[o] for o in found)
        kept = set(found)


kills = st.lists(st.tuples(st.integers(0, 6), st.floats(0, 0.01)), min_size=1, max_size=2)


@often
@given(runs=runs_to_keep, kills=kills)
def test_killed_at_any_moment(start, runs, kills):
    with tempfile.TemporaryDirectory() as folder:
        keeps_what_it_said(start, Path(folder), runs, kills)


def test_who_says_it_too_early_is_found_out(tmp_path):
    "The control: the last of six is said to be kept, and never is"
    runs = [['coin', '1', 'torch', seed, dict(loss=[1.0]), {}] for seed in range(6)]
    with children(says_it_too_early) as start, pytest.raises(AssertionError):
        keeps_what_it_said(start, tmp_path, runs, [(6, 0.0)])


# tables of any kind


@st.composite
def metrics(draw):
    "Names of metrics, and for each where it starts, how it changes, and its dtype"
    kind = st.tuples(
        st.floats(-100, 100), st.floats(-3, 3), st.sampled_from([float, int, np.float32, bool])
    )
    return draw(st.dictionaries(names, kind, min_size=1, max_size=3))


def made_up(kinds, n, epochs, seed):
    "Runs of `n` seeds: curves that rise or fall, with noise, as floats, counts or switches"
    rng, frames = np.random.default_rng(seed), []
    for one in range(n):
        frame = pd.DataFrame(dict(seed=one, epoch=range(epochs)))
        for name, (first, slope, kind) in kinds.items():
            frame[name] = (first + slope * np.arange(epochs) + rng.normal(size=epochs)).astype(kind)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def spoilt(runs, holes):
    "With numbers that are not finite at some places"
    runs = runs.copy()
    for at, number in holes:
        name = metrics_of(runs)[at % len(metrics_of(runs))]
        runs[name] = runs[name].astype(float)
        runs.loc[at % len(runs), name] = number
    return runs


holes = st.lists(
    st.tuples(st.integers(0, 999), st.sampled_from([nan, inf, -inf])), max_size=3
)
tables = dict(kinds=metrics(), epochs=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))


def comes_back(kinds, epochs, seed, holes, folder, read=lambda runs: runs):
    "A study gives what was trained, the second time from the store; what isn't finite is a gap"
    table = spoilt(made_up(kinds, 2, epochs, seed), holes)

    def train(seed):
        return table[table.seed == seed].drop(columns=['seed', 'epoch'])

    wanted = table[list(kinds)].astype(float)
    wanted = wanted.where(np.isfinite(wanted)).reset_index(drop=True)
    for _ in range(2):
        runs = study(Experiment('any', train), 2, folder, backend='sequential')
        assert list(runs) == ['experiment', 'seed', 'epoch', *kinds]
        pd.testing.assert_frame_equal(read(runs[list(kinds)]), wanted, check_exact=True)


@often
@given(**tables, holes=holes)
def test_a_study_of_any_metrics(kinds, epochs, seed, holes):
    with tempfile.TemporaryDirectory() as folder:
        comes_back(kinds, epochs, seed, holes, folder)


def test_a_rounded_metric_is_seen(tmp_path):
    "The control"
    with pytest.raises(AssertionError):
        comes_back(dict(a=(1.0, 1.0, float)), 3, 0, [], tmp_path, read=lambda o: o.round(6))


def is_judged_as_defined(published, runs, judged=judge_printed):
    "Each metric for itself; with all signs changed, and in another unit, the verdict is the same"
    table = judged(published, runs)
    assert list(table.index) == metrics_of(published)
    for name, row in table.iterrows():
        curves = runs.pivot(index='seed', columns='epoch', values=name).to_numpy(float)
        p = by_definition(published[name].to_numpy(float), curves)
        assert row.p == pytest.approx(p, abs=1e-12)
        assert row.seeds == len(curves) and 1 / (len(curves) + 1) <= row.p <= 1
        enough = 1 / (len(curves) + 1) < 0.01
        assert row.reproduced is (False if row.p < 0.01 else True if enough else None)
        assert row.below == sum(o < published[name].iloc[-1] for o in curves[:, -1])
    for factor in (-1, 4, -0.25):
        changed = [o.copy() for o in (published, runs)]
        for o in changed:
            o[metrics_of(o)] *= factor
        assert judged(*changed).p.tolist() == table.p.tolist()


@often
@given(**tables, n=st.sampled_from([1, 2, 7, 99, 100, 120]), holes=holes, far=st.floats(-9, 9))
def test_a_printed_table_of_any_metrics(kinds, epochs, seed, n, holes, far):
    runs = made_up(kinds, n + 1, epochs, seed)
    published = runs[runs.seed == n].drop(columns='seed').reset_index(drop=True)
    numbers = list(kinds)
    published[numbers] = published[numbers].astype(float)
    published.loc[epochs - 1, numbers] += far
    runs = runs[runs.seed < n].astype(dict.fromkeys(numbers, float))
    # a sum in another order may part what ties, so that no two numbers may be the same
    smooth = [o for o in numbers if kinds[o][2] in (float, np.float32)]
    assume(smooth)
    keep = ['seed', 'epoch', *smooth]
    is_judged_as_defined(published[keep[1:]], spoilt(runs[keep], holes))


def falling_only(published, runs):
    "Wrong: as if smaller were always better"
    table = judge_printed(published, runs)
    for name in table.index:
        curves = runs[runs.epoch == runs.epoch.max()][name]
        table.loc[name, 'p'] = (curves <= published[name].iloc[-1]).mean()
    return table


def test_a_judge_who_knows_losses_only_is_seen():
    "The control"
    runs = made_up(dict(score=(0.0, 1.0, float)), 101, 3, 0)
    published = runs[runs.seed == 100].drop(columns='seed').reset_index(drop=True)
    is_judged_as_defined(published, runs[runs.seed < 100])
    with pytest.raises(AssertionError):
        is_judged_as_defined(published, runs[runs.seed < 100], falling_only)


def says_it_in_every_form(verdict, folder):
    "As text, page, JSON and XML: the same sentence, and the same answer"
    words = sentence(verdict)
    data = json.loads(as_json([verdict], {}), parse_constant=no_nan)
    assert data['reproduced'] is verdict.reproduced and data['tables'][0]['sentence'] == words
    suite = ET.fromstring(as_junit([verdict]).encode('utf-8'))
    failed = len(suite.findall('*/failure'))
    assert suite.get('failures') == str(failed)
    assert bool(failed) == (verdict.reproduced is False)
    assert summary([verdict]).startswith(words)
    report(verdict, folder)
    assert words in (Path(folder) / 'report.md').read_bytes().decode('utf-8')


@often
@given(
    **tables,
    n=st.sampled_from([1, 3, 8, 60]),
    m=st.integers(1, 3),
    holes=holes,
    first=st.sampled_from([0, 500]),
    printed=st.booleans(),
    known=st.booleans(),
)
def test_a_report_of_any_metrics(kinds, epochs, seed, n, m, holes, first, printed, known):
    "Whatever is printed, known or shared, and whatever diverged"
    runs = spoilt(made_up(kinds, m, epochs, seed), holes)
    runs['seed'] += first
    reference = made_up(kinds, n, epochs, seed + 1) if known else None
    published = made_up(kinds, 1, epochs, seed + 2).drop(columns='seed') if printed else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reports, 'as_svg', lambda verdict, prefix: '<svg></svg>')  # takes too long
        with tempfile.TemporaryDirectory() as folder, np.errstate(all='ignore'):
            verdict = judge(runs, published, reference, name='any')
            says_it_in_every_form(verdict, folder)
    # without a table to say so, a column of gaps is a metric that these runs don't have
    shown = [o for o in kinds if printed or known or runs[o].notna().any()]
    bad = ~np.isfinite(runs[shown].to_numpy(float)).all(1)
    assert verdict.diverged == sorted(set(runs.seed[bad]))


@pytest.mark.parametrize('wrong', ['sentence', 'plain'])
def test_a_form_that_says_something_else_is_seen(wrong, tmp_path, monkeypatch):
    "The control"
    runs = spoilt(made_up(dict(a=(1.0, 1.0, float)), 3, 2, 0), [(0, inf)])
    verdict = judge(runs, runs[runs.seed == 1].drop(columns='seed'), name='any')
    said = dict(sentence=lambda v: 'All is well.', plain=lambda x: nan)[wrong]
    inner = reports.render if hasattr(reports, 'render') else None
    assert inner is None
    says_it_in_every_form(verdict, tmp_path)
    monkeypatch.setattr(reports, wrong, said)
    with pytest.raises(AssertionError):
        says_it_in_every_form(verdict, tmp_path)


@pytest.mark.parametrize('name', ['a$b$', 'cost in $', r'$\foo$', 'x^{$_$', 'Größe'])
@pytest.mark.parametrize('kind', [float, bool])
def test_any_metric_is_drawn(name, kind):
    "Two dollars in a name are no formula, and a switch has a band too"
    kinds = {name: (0.0, 1.0, kind)}
    runs, published = made_up(kinds, 3, 2, 0), made_up(kinds, 1, 2, 1).drop(columns='seed')
    assert reports.as_svg(judge(runs, published, name='any')).startswith('<svg')
