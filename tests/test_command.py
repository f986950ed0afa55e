"""The commands, as a user meets them: what they print, what they write, what they refuse."""

import json
import os
import re
import signal
import sqlite3
import sys
import time
import xml.etree.ElementTree as ET
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import psutil
import pytest

import rnnlm.performance as performance
from processes import call, running, time_limit, wait_for  # noqa: F401
from rnnlm.chapter import recipe
from rnnlm.commands import rnnlm_reproduce
from rnnlm.replicate.store import Run, Store, libraries, metrics_of
from rnnlm.tables import n_valid, published, reference

command = Path(sys.executable).parent / 'rnnlm_reproduce'
pages = ['report.html', 'report.md', 'verdict.json', 'junit.xml']


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    "A results folder that holds one run of LMModel5, and what making it printed"
    out = tmp_path_factory.mktemp('results')
    return out, call(command, '--models', 'LMModel5', '--seeds', 1, '--out', out)


@pytest.fixture
def opened(finished, tmp_path):
    "A results folder that holds the printed run, with which the command begins, and nothing else"
    begin = [o for o in Store(finished[0]).load() if o.name.startswith('Table 1')]
    assert len(begin) == 1
    Store(tmp_path).add(begin[0])
    return tmp_path


@pytest.fixture
def reproduce(capfd):
    "The command, called in this process with its options by name, which saves the imports"

    def reproduce(**options):
        with pytest.raises(SystemExit) as e:
            rnnlm_reproduce(**{k: str(v) for k, v in options.items()})
        out, err = capfd.readouterr()
        return SimpleNamespace(status=e.value.code, out=out, err=err)

    return reproduce


def keep(out, model, runs):
    "Put runs into a results folder, as if they had been trained there"
    store = Store(out)
    for seed, one in runs.groupby('seed'):
        curves = {k: [None if pd.isna(x) else x for x in one[k]] for k in metrics_of(one)}
        made = dict(seconds=1.0, threads=1)
        made |= {k: one[k].iloc[0] for k in ('weights', 'start') if k in one}
        store.add(Run(model, recipe(model).version, libraries(), int(seed), curves, made))


def stored(model, n, first=None):
    "The first `n` stored runs of a model, with new seeds if `first` is given"
    runs = reference(model)
    seeds = sorted(runs.seed.unique())[:n]
    runs = runs[runs.seed.isin(seeds)]
    return runs if first is None else runs.assign(seed=runs.seed - seeds[0] + first)


def no_training(*args, **kwargs):
    raise AssertionError('nothing should be trained here')


def verdict_in(out):
    return json.loads((Path(out) / 'verdict.json').read_text(encoding='utf-8'))


# A verdict


def test_verdict_and_report(finished):
    out, p = finished
    assert p.returncode == 0, p.stderr
    said = p.stdout.splitlines()
    assert said[0] == 'First, the very runs that the book printed:'
    assert 'Table 1, LMModel5: all 45 printed numbers come back from N = 20,570' in p.stdout
    assert 'All reproduced.' in said and said[-1] == f'Report: {out / "report.html"}'
    assert 'Table 1, LMModel5: reproduced, because the printed curves look like one' in p.stdout
    assert 'your run agrees with the stored run of the same seed' in p.stdout
    assert 'Traceback' not in p.stderr and 'Warning' not in p.stderr
    assert {o.name for o in out.iterdir()} == {*pages, 'runs.sqlite'}
    report = (out / 'report.md').read_text(encoding='utf-8')
    assert report.startswith('# All reproduced.') and '## Table 1, LMModel5' in report


def test_report_is_one_page_that_needs_no_other_file(finished):
    page = (finished[0] / 'report.html').read_text(encoding='utf-8')
    assert page.count('<svg') == 1 and '<table>' in page
    assert not re.search(r'<(?:img|link|script|iframe)|@import|(?:src|href)="[^#]', page)
    ids = re.findall(r'\bid="([^"]*)"', page)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]*)', page))
    assert len(ids) == len(set(ids)) and used and used <= set(ids)


def test_verdict_for_programs(finished):
    data = verdict_in(finished[0])
    assert data['reproduced'] is True and data['made_with']['seeds'] == '1000 to 1000'
    assert data['made_with']['moved'] == []
    (opening,) = data['opening']
    assert opening['came_back'] is True and '45 printed numbers' in opening['sentence']
    (table,) = data['tables']
    assert table['name'] == 'Table 1, LMModel5' and table['runs'] == 1 and table['diverged'] == []
    assert set(table['printed']) == {'train_loss', 'valid_loss', 'accuracy'}
    accuracy = table['printed']['accuracy']
    assert accuracy['printed'] == published('LMModel5').accuracy.iloc[-1]
    assert accuracy['seeds'] >= 200
    same = table['same_seed']['1000']
    assert same['agrees'] is True and same['start'] == 'same' and same['difference'] < 1e-3
    assert len(table['noticed']) == 7
    suite = ET.parse(finished[0] / 'junit.xml').getroot()
    assert suite.get('failures') == '0' and suite.get('tests') == '3'


def test_second_call_trains_nothing(finished, reproduce):
    out, first = finished
    names = [*pages, 'runs.sqlite']
    before = {o: (out / o).read_bytes() for o in names}
    p = reproduce(models='LMModel5', seeds=1, out=out)
    assert p.status == 0 and '1 of 1 runs are done already' in p.out
    assert {o: (out / o).read_bytes() for o in names} == before
    said = [o for o in p.out.splitlines() if 'are done already' not in o]
    assert first.stdout.strip() in '\n'.join(said)


def test_accuracies_are_whole_counts(finished):
    for run in Store(finished[0]).load():
        for accuracy in run.curves['accuracy']:
            assert abs(accuracy * n_valid - round(accuracy * n_valid)) < 0.01


# Bad requests


@pytest.mark.parametrize(
    'scheduler, says',
    [('', 'needs the address of one'), ('host', "such as --scheduler tcp://host:8786, not 'host'")],
)
def test_no_scheduler(scheduler, says, tmp_path, reproduce):
    p = reproduce(models='LMModel5', seeds=1, backend='dask', scheduler=scheduler, out=tmp_path)
    assert p.status == 2 and says in p.err


@pytest.mark.fault
def test_what_cannot_be_written_is_found_before_the_training(tmp_path, reproduce, monkeypatch):
    monkeypatch.setattr('rnnlm.chapter.chapter_learner', no_training)
    (tmp_path / 'file').write_text('mine')
    (tmp_path / 'folder.csv.gz').mkdir()
    (tmp_path / 'folder' / 'report.html').mkdir(parents=True)
    good = tmp_path / 'results'
    for options in (
        dict(out=tmp_path / 'file' / 'results'),
        dict(out=tmp_path / 'file'),
        dict(out=tmp_path / 'folder'),
        dict(out=good, reference_to=tmp_path / 'folder.csv.gz'),
        dict(out=good, reference_to=tmp_path / 'file' / 'x.csv.gz'),
        dict(out=tmp_path / 'file', reference_to=tmp_path / 'x.csv.gz'),
    ):
        p = reproduce(models='LMModel5', seeds=1, backend='sequential', **options)
        assert p.status == 2 and "can't be written" in p.err and p.err.count('\n') == 1
    assert (tmp_path / 'file').read_text() == 'mine' and not good.exists()
    assert not (tmp_path / 'x.csv.gz').exists()


@pytest.mark.fault
def test_cached_corpus_that_differs(tmp_path):
    corpus = tmp_path / 'data' / 'human_numbers'
    corpus.mkdir(parents=True)
    for name in ('train.txt', 'valid.txt'):
        (corpus / name).write_text('one \ntwo \n')
    p = call(
        command, '--out', tmp_path / 'results', env={**os.environ, 'FASTAI_HOME': str(tmp_path)}
    )
    assert p.returncode == 2 and 'is not Human Numbers' in p.stderr and p.stderr.count('\n') == 1
    assert not (tmp_path / 'results').exists()


@pytest.mark.fault
def test_interrupted_like_in_a_terminal(tmp_path):
    "Ctrl-C goes to all processes: one line, status 130, all that is finished kept, nobody works on"
    args = '--models', 'LMModel4', '--seeds', 500, '--first_seed', 0, '--jobs', 2, '--out', tmp_path
    with open(tmp_path / 'err', 'w') as err, running(command, *args, stderr=err) as p:
        wait_for(lambda: (tmp_path / 'runs.sqlite').exists() and Store(tmp_path).load(), 150)
        os.killpg(p.pid, signal.SIGINT)
        assert p.wait(timeout=60) == 130

        def alive():
            return [o for o in psutil.process_iter() if of_group(o.pid, p.pid)]

        wait_for(lambda: not alive(), 30)
    said = (tmp_path / 'err').read_text()
    assert said.count('interrupted; what is finished is in') == 1 and 'Traceback' not in said
    assert Store(tmp_path).load()


def of_group(pid, group):
    "Is this a living process of the group?"
    try:
        return os.getpgid(pid) == group and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (OSError, psutil.Error):
        return False


# Runs that are there already


def test_the_references_own_seeds(opened, reproduce):
    "All 200 of them: each is compared with itself, and no others are left to compare with"
    keep(opened, 'LMModel5', reference('LMModel5'))
    p = reproduce(models='LMModel5', seeds=200, out=opened)
    assert p.status == 0, p.err
    assert '200 of 200 runs are done already' in p.out
    assert '200 of your runs agree with the stored run of the same seed' in p.out
    data = verdict_in(opened)
    assert data['reproduced'] is True and data['tables'][0]['own'] is None
    assert data['made_with']['moved'] == []


def test_other_seeds_are_held_against_the_distribution(opened, reproduce):
    keep(opened, 'LMModel5', stored('LMModel5', 16, first=7000))
    p = reproduce(models='LMModel5', seeds=16, first_seed=7000, out=opened)
    assert p.status == 0 and 'your 16 runs look like the reference' in p.out, p.out
    data = verdict_in(opened)
    assert data['tables'][0]['same_seed'] == {} and data['made_with']['moved'] == []


@pytest.mark.parametrize('k, wrong', [(1, [1000, 1001, 1002, 1003]), (2, [1001]), (4, [1002])])
@pytest.mark.parametrize('by', [0.004, 3.0])
def test_wrong_runs_end_the_study_early(k, wrong, by, opened, reproduce, monkeypatch):
    "Four are stored; of the fifth to eighth none is trained once a look has found something wrong"
    monkeypatch.setattr('rnnlm.chapter.chapter_learner', no_training)
    runs = stored('LMModel5', 4)
    runs.loc[runs.seed.isin(wrong), 'valid_loss'] += by
    keep(opened, 'LMModel5', runs)
    written = []
    for _ in range(2):
        p = reproduce(models='LMModel5', seeds=8, out=opened, backend='sequential')
        assert p.status == 1, p.err
        seeds = '1 seed' if k == 1 else f'{k} seeds'
        assert f'Stopped after {seeds} of each model: they are not what they should be.' in p.out
        assert 'Table 1, LMModel5: NOT reproduced, because from seed' in p.out
        assert 'Not reproduced: Table 1, LMModel5.' in p.out
        assert 'All reproduced' not in p.out and verdict_in(opened)['reproduced'] is False
        assert verdict_in(opened)['tables'][0]['runs'] == k
        written.append([(opened / o).read_bytes() for o in pages])
    assert written[0] == written[1]
    assert ET.parse(opened / 'junit.xml').getroot().get('failures') == '1'


def test_wrong_runs_that_were_edited_in_the_file(finished, tmp_path, reproduce):
    "As someone who tinkers with the file would"
    path = tmp_path / 'runs.sqlite'
    path.write_bytes((finished[0] / 'runs.sqlite').read_bytes())
    with closing(sqlite3.connect(path)) as db, db:
        curves = json.loads(db.execute('select curves from runs').fetchone()[0])
        curves['valid_loss'] = [o + 3 for o in curves['valid_loss']]
        db.execute('update runs set curves = ?', [json.dumps(curves)])
    p = reproduce(models='LMModel5', seeds=1, out=tmp_path)
    assert p.status == 1 and 'Table 1, LMModel5: NOT reproduced' in p.out
    assert 'It looks most like a known mistake: ' in p.out


def test_a_seed_that_diverged_condemns_nothing(opened, reproduce):
    runs = stored('LMModel5', 4)
    runs.loc[(runs.seed == 1001) & (runs.epoch > 3), ['train_loss', 'valid_loss']] = float('nan')
    keep(opened, 'LMModel5', runs)
    p = reproduce(models='LMModel5', seeds=4, out=opened)
    assert p.status == 0 and 'All reproduced.' in p.out and 'Seed 1001 diverged.' in p.out
    assert verdict_in(opened)['tables'][0]['diverged'] == [1001]


def test_a_variant_condemns_no_table(opened, reproduce):
    "It has no table of its own, and too few stored runs to say whether it is itself"
    keep(opened, 'LMModel5: ReLU', stored('LMModel5: ReLU', 2, first=0))
    keep(opened, 'LMModel5', stored('LMModel5', 2, first=0))
    p = reproduce(models='LMModel5: ReLU', seeds=2, first_seed=0, out=opened)
    assert p.status == 0 and 'LMModel5: ReLU: undecided, because there are too few' in p.out
    p = reproduce(models='LMModel5: ReLU, LMModel5', seeds=2, first_seed=0, out=opened)
    assert p.status == 0 and 'Table 1, LMModel5: reproduced' in p.out
    assert (
        'Undecided: LMModel5: ReLU.' in p.out and p.out.count('Table 1, LMModel5: reproduced') == 1
    )


def test_a_variant_is_compared_with_its_own_seeds(tmp_path, reproduce):
    runs = stored('LMModel5: ReLU', 2)
    first = runs.seed.min()
    keep(tmp_path, 'LMModel5: ReLU', runs)
    p = reproduce(models='LMModel5: ReLU', seeds=2, first_seed=first, out=tmp_path)
    assert p.status == 0 and 'LMModel5: ReLU: reproduced, because 2 of your runs agree' in p.out
    wrong = tmp_path / 'wrong'
    keep(wrong, 'LMModel5: ReLU', runs.assign(valid_loss=runs.valid_loss + 1))
    p = reproduce(models='LMModel5: ReLU', seeds=2, first_seed=first, out=wrong)
    assert p.status == 1 and 'LMModel5: ReLU: NOT reproduced' in p.out


def test_a_reference_of_ones_own(tmp_path, reproduce):
    "What `--reference_to` writes is what the package stores, and the same bytes every time"
    runs = pd.concat([stored(o, 2) for o in ('LMModel5', 'LMModel7')])
    for model in ('LMModel5', 'LMModel7'):
        keep(
            tmp_path,
            model,
            stored(model, 2).assign(plain_loss=1.0) if model == 'LMModel7' else stored(model, 2),
        )
    keep(tmp_path, 'LMModel5', stored('LMModel5', 2, first=5))  # not asked for
    written = []
    for name in ('a.csv.gz', 'b.csv.gz'):
        file = tmp_path / 'new' / name
        p = reproduce(models='LMModel5,LMModel7', seeds=2, out=tmp_path, reference_to=file)
        assert p.status == 0 and f'4 runs written to {file}' in p.out
        written.append(file.read_bytes())
    assert written[0] == written[1] and not (tmp_path / 'report.html').exists()
    table = pd.read_csv(tmp_path / 'new' / 'a.csv.gz')
    assert table.model.tolist() == ['LMModel5'] * 30 + ['LMModel7'] * 30
    for column in ('seed', 'epoch', 'train_loss', 'valid_loss'):
        assert table[column].tolist() == runs[column].tolist()
    assert (table.correct / n_valid).tolist() == runs.accuracy.tolist()
    assert table.start.notna().sum() == 4 == table.weights.notna().sum()
    made = json.loads((tmp_path / 'new' / 'a.json').read_text())
    assert made['models']['LMModel5'] == dict(seeds=2, version='1', median_seconds=1.0)


# The benchmark


@pytest.mark.parametrize('text', ['not JSON', '[1, 2]', '{"tables": {}}'])
def test_the_benchmark_leaves_a_file_of_something_else_alone(tmp_path, text, capfd):
    out = tmp_path / 'notes.json'
    out.write_text(text)
    with pytest.raises(SystemExit) as e:
        performance.rnnlm_benchmark(out=str(out))
    said = capfd.readouterr().err
    assert e.value.code == 2 and said.count('\n') == 1 and 'choose another' in said
    assert out.read_text() == text


def test_the_benchmark_keeps_what_it_does_not_measure_anew(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(performance, 'fresh', lambda code: time.sleep(0.01))
    out = tmp_path / 'benchmark.json'
    out.write_text(json.dumps(dict(lstms=dict(rows=[dict(what='kept')]))))
    performance.rnnlm_benchmark(parts='imports', rounds='1', out=str(out))
    got = json.loads(out.read_text())
    assert got['lstms'] == dict(rows=[dict(what='kept')]) and len(got['imports']['rows']) == 3
    assert got['imports']['made_with']['rounds'] == 1
    assert f'Written to {out}' in capfd.readouterr().out
