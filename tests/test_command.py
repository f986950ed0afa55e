"""The command `rnnlm_reproduce`, as a user meets it: what a notebook can't show well."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

command = Path(sys.executable).parent/'rnnlm_reproduce'


def reproduce(*args, **env):
    return subprocess.run([command, *map(str, args)], capture_output=True, text=True, env=os.environ | env)


@pytest.fixture(scope='session')
def finished(tmp_path_factory):
    "A results folder that holds one run of LMModel5, and what making it printed"
    out = tmp_path_factory.mktemp('results')
    return out, reproduce('--models', 'LMModel5', '--seeds', 1, '--out', out)


def test_verdict_and_report(finished):
    out, p = finished
    assert p.returncode == 0, p.stderr
    assert 'Table 1, LMModel5: reproduced' in p.stdout and 'All reproduced.' in p.stdout
    report = (out/'report.md').read_text()
    assert report.startswith('# All reproduced.') and '](LMModel5.svg)' in report
    assert (out/'LMModel5.svg').stat().st_size > 10_000


def test_report_is_one_page_that_needs_no_other_file(finished):
    page = (finished[0]/'report.html').read_text()
    assert page.count('<svg') == 1 and '<img' not in page and '<table>' in page
    addresses = set(re.findall(r'(?:src|href)="([^"]*)"', page))
    assert all(o.startswith('#LMModel5-') for o in addresses), addresses
    ids = re.findall(r'id="([^"]*)"', page)
    assert len(ids) == len(set(ids)) and {o[1:] for o in addresses} <= set(ids)


def test_verdict_for_programs(finished):
    v = json.loads((finished[0]/'verdict.json').read_text())
    assert v['reproduced'] is True and v['runs'] == {'LMModel5': 1} and v['not_finite'] == [] and v['moved'] is None
    table, = v['tables']
    assert table['model'] == 'LMModel5' and set(table['curves']) == {'train_loss', 'valid_loss', 'accuracy'}
    accuracy = table['curves']['accuracy']
    assert accuracy['published'] == 0.487874 and accuracy['reference_seeds'] >= 200 and accuracy['p'] <= accuracy['p_holm']


def test_second_call_trains_nothing(finished):
    out, first = finished
    before = (out/'runs.jsonl').read_bytes()
    p = reproduce('--models', 'LMModel5', '--seeds', 1, '--out', out)
    assert p.returncode == 0 and '1 of 1 runs are done already' in p.stdout
    assert (out/'runs.jsonl').read_bytes() == before
    assert first.stdout.strip() in p.stdout


def test_accuracies_are_whole_counts(finished):
    for line in (finished[0]/'runs.jsonl').read_text().splitlines():
        for a in json.loads(line)['curves']['accuracy']: assert abs(a*12_288 - round(a*12_288)) < 0.01


@pytest.mark.parametrize('args, says', [
    (['--models', 'LMModel9'], "'LMModel9' is unknown; there are LMModel4, LMModel5, LMModel6, LMModel7"),
    (['--models', ','], 'models: none was given'),
    (['--seeds', '0'], '--seeds: at least 1 is needed, not 0'),
    (['--seeds', 'x'], "--seeds: a whole number is needed, not 'x'"),
    (['--first_seed', '-1'], 'seed: must be a whole number of at least 0, not -1'),
    (['--jobs', '-2'], 'jobs: at least 1 is needed, not -2'),
    (['--backend', 'smoke'], "backend: 'smoke' is unknown; there are loky, dask, sequential"),
    (['--reference_to', 'x.txt'], '--reference_to: a file that ends in .csv.gz is needed'),
])
def test_bad_request(args, says, tmp_path):
    p = reproduce(*args, '--out', tmp_path/'results')
    assert p.returncode == 2
    assert says in p.stderr and len(p.stderr.strip().splitlines()) == 1
    assert not (tmp_path/'results').exists()


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path/'file').write_text('mine')
    p = reproduce('--out', tmp_path/'file'/'results')
    assert p.returncode == 2 and "can't be written" in p.stderr and len(p.stderr.strip().splitlines()) == 1
    assert (tmp_path/'file').read_text() == 'mine'


@pytest.mark.parametrize('damage', [lambda b: b'garbage\n' + b, lambda b: b + b'garbage', lambda b: b.replace(b'"seed":0', b'"seed":"a"'),
                                    lambda b: b + b'{}\n', lambda b: b + b'\x00\xff\n'])
def test_damaged_results(finished, tmp_path, damage):
    data = damage((finished[0]/'runs.jsonl').read_bytes())
    (tmp_path/'runs.jsonl').write_bytes(data)
    p = reproduce('--models', 'LMModel5', '--seeds', 1, '--out', tmp_path)
    assert p.returncode == 2 and 'is not a run; nothing was changed' in p.stderr and len(p.stderr.strip().splitlines()) == 1
    assert (tmp_path/'runs.jsonl').read_bytes() == data


def test_torn_last_line_is_done_again(finished, tmp_path):
    whole = (finished[0]/'runs.jsonl').read_bytes()
    (tmp_path/'runs.jsonl').write_bytes(whole + whole[:100])
    p = reproduce('--models', 'LMModel5', '--seeds', 1, '--out', tmp_path)
    assert p.returncode == 0 and 'was cut off while it was written' in p.stderr
    assert (tmp_path/'runs.jsonl').read_bytes() == whole


def test_runs_of_other_code_are_kept_and_not_used(finished, tmp_path):
    rec = json.loads((finished[0]/'runs.jsonl').read_text())
    other = json.dumps(rec | dict(code='0'*12)) + '\n'
    (tmp_path/'runs.jsonl').write_text(other)
    p = reproduce('--models', 'LMModel5', '--seeds', 1, '--out', tmp_path)
    lines = (tmp_path/'runs.jsonl').read_text().splitlines()
    assert p.returncode == 0 and '1 runs of other code or versions are kept and not used' in p.stdout
    assert lines[0] + '\n' == other and json.loads(lines[1])['curves'] == rec['curves']


def test_wrong_runs_are_not_reproduced(finished, tmp_path):
    rec = json.loads((finished[0]/'runs.jsonl').read_text())
    rec['curves']['valid_loss'] = [o+3 for o in rec['curves']['valid_loss']]
    (tmp_path/'runs.jsonl').write_text(json.dumps(rec) + '\n')
    p = reproduce('--models', 'LMModel5', '--seeds', 1, '--out', tmp_path)
    assert p.returncode == 1 and 'Table 1, LMModel5: NOT reproduced' in p.stdout


def test_cached_corpus_that_differs(tmp_path):
    corpus = tmp_path/'data'/'human_numbers'
    corpus.mkdir(parents=True)
    for o in ('train.txt', 'valid.txt'): (corpus/o).write_text('one \ntwo \n')
    p = reproduce('--out', tmp_path/'results', FASTAI_HOME=str(tmp_path))
    assert p.returncode == 2 and 'is not Human Numbers' in p.stderr and len(p.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize('text', ['not JSON', '[1, 2]', '{"tables": {}}'])
def test_the_benchmark_leaves_a_file_of_something_else_alone(tmp_path, text):
    out = tmp_path/'notes.json'
    out.write_text(text)
    p = subprocess.run([command.parent/'rnnlm_benchmark', '--out', out], capture_output=True, text=True)
    assert p.returncode == 2 and p.stderr.count('\n') == 1 and 'choose another' in p.stderr
    assert out.read_text() == text


def test_the_benchmark_measures_and_keeps_what_it_does_not_measure_anew(tmp_path):
    out = tmp_path/'benchmark.json'
    out.write_text(json.dumps(dict(lstms=dict(rows=[dict(what='kept')]))))
    p = subprocess.run([command.parent/'rnnlm_benchmark', '--parts', 'imports', '--rounds', '1', '--out', out], capture_output=True, text=True)
    assert p.returncode == 0, p.stderr
    got = json.loads(out.read_text())
    assert got['lstms'] == dict(rows=[dict(what='kept')]) and len(got['imports']['rows']) == 3 and got['imports']['made_with']['rounds'] == 1
