"""The study's engine: killed, crowded, spread over Dask workers, fed with losses that are no numbers."""
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

import rnnlm.study as engine
from rnnlm.study import Runs, conditions, run, study, verdict

command = Path(sys.executable).parent/'rnnlm_reproduce'


def start(*args):
    "`rnnlm_reproduce` in a process group of its own, so that its workers can be killed with it"
    return subprocess.Popen([command, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def lines(out): return (Path(out)/'runs.jsonl').read_bytes().splitlines() if (Path(out)/'runs.jsonl').exists() else []


def wait_for(what, seconds=120):
    until = time.time() + seconds
    while not (got := what()):
        assert time.time() < until, 'waited in vain'
        time.sleep(.05)
    return got


def workers(p): return [o for o in psutil.Process(p.pid).children(recursive=True) if 'loky' in ' '.join(o.cmdline()) and 'popen_loky' in ' '.join(o.cmdline())]


def test_killed_ten_times_at_random_moments(tmp_path):
    "Nothing that was finished is lost, nothing is doubled, and the runs are those of a study that nobody killed"
    args = '--models', 'LMModel4', '--seeds', 9, '--out', tmp_path
    kept, rng = [], random.Random(0)
    for _ in range(10):
        p = start(*args)
        time.sleep(rng.uniform(.5, 8))
        os.killpg(p.pid, signal.SIGKILL)
        p.communicate()
        now = lines(tmp_path)
        assert now[:len(kept)] == kept
        kept = now
    p = start(*args)
    out, err = p.communicate()
    assert p.returncode == 0, err
    assert lines(tmp_path)[:len(kept)] == kept
    recs = [json.loads(o) for o in lines(tmp_path)]
    assert sorted(r['seed'] for r in recs) == list(range(9))
    for r in recs[::4]: assert run('LMModel4', r['seed']).accuracy.tolist() == r['curves']['accuracy']


def test_a_killed_worker_is_replaced_and_reported(tmp_path):
    p = start('--models', 'LMModel5', '--seeds', 4, '--jobs', 2, '--out', tmp_path)
    wait_for(lambda: lines(tmp_path))
    wait_for(lambda: workers(p))[0].kill()
    out, err = p.communicate()
    assert p.returncode == 0, err
    assert err.count('a worker process was killed') == 1
    assert sorted(json.loads(o)['seed'] for o in lines(tmp_path)) == [0, 1, 2, 3]


def test_workers_that_die_again_and_again_end_the_study(tmp_path, monkeypatch, capsys):
    from joblib.externals.loky.process_executor import TerminatedWorkerError
    def dies(*args): raise TerminatedWorkerError()
    monkeypatch.setattr(engine, '_record', dies)
    with pytest.raises(engine.StudyError, match='killed 3 times in a row'): study('LMModel5', 1, tmp_path, backend='sequential')
    assert capsys.readouterr().err.count('a worker process was killed') == 2


def test_two_studies_in_one_folder(tmp_path):
    args = '--models', 'LMModel4', '--seeds', 3, '--jobs', 1, '--out', tmp_path
    both = [start(*args), start(*args)]
    said = [p.communicate() for p in both]
    assert [p.returncode for p in both] == [0, 0], said
    assert sorted(json.loads(o)['seed'] for o in lines(tmp_path)) == [0, 1, 2]
    assert said[0][0].split('Report:')[0].splitlines()[-12:] == said[1][0].split('Report:')[0].splitlines()[-12:]


def test_a_loss_that_is_no_number_is_kept_and_flagged(tmp_path, monkeypatch):
    def broken(model, seed):
        df = whole[seed].copy()
        if seed == 1: df.loc[9:, 'valid_loss'] = float('nan')
        return df
    whole = {s: run('LMModel4', s) for s in (0, 1)}
    monkeypatch.setattr(engine, 'run', broken)
    monkeypatch.setattr(engine, 'conditions', lambda m: dict(code='0', torch='0', fastai='0'))
    runs = study('LMModel4', 2, tmp_path, backend='sequential')
    recs = [json.loads(o) for o in lines(tmp_path)]
    assert [r['finite'] for r in recs] == [True, False] and recs[1]['curves']['valid_loss'][8:10] == [whole[1].valid_loss[8], None]
    pd.testing.assert_frame_equal(study('LMModel4', 2, tmp_path, backend='sequential'), runs)
    v = verdict(runs)
    assert v.reproduced.tolist() == [True, False, True]
    engine.report(runs, v, tmp_path)
    assert 'not a finite number: LMModel4, seed 1' in (tmp_path/'report.md').read_text()
    assert json.loads((tmp_path/'verdict.json').read_text())['not_finite'] == ['LMModel4, seed 1']


@pytest.fixture(scope='module')
def scheduler(tmp_path_factory):
    "A Dask scheduler and two workers on the loopback interface, each a process of its own"
    where, bin = tmp_path_factory.mktemp('dask'), Path(sys.executable).parent
    address = where/'scheduler.json'
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=where)
    ps = [subprocess.Popen([bin/'dask', 'scheduler', '--host', '127.0.0.1', '--port', '0', '--no-dashboard', '--scheduler-file', address], **quiet)]
    wait_for(address.exists)
    at = json.loads(address.read_text())['address']
    ps += [subprocess.Popen([bin/'dask', 'worker', at, '--nthreads', '1', '--no-dashboard', '--no-nanny', '--host', '127.0.0.1'], **quiet) for _ in range(2)]
    from dask.distributed import Client
    with Client(at, set_as_default=False) as c: c.wait_for_workers(2, timeout=60)
    yield at
    for p in ps: p.terminate()
    for p in ps: p.wait()


def test_dask_gives_the_same_tables_to_the_bit(scheduler, tmp_path):
    models = ['LMModel5', 'LMModel7']
    with_dask = study(models, 2, tmp_path/'dask', backend='dask', scheduler=scheduler)
    with_loky = study(models, 2, tmp_path/'loky', backend='loky', jobs=2)
    pd.testing.assert_frame_equal(with_dask, with_loky, check_exact=True)


def test_dask_workers_with_other_code_are_refused(scheduler, tmp_path, monkeypatch):
    real = conditions
    monkeypatch.setattr(engine, 'conditions', lambda m: real(m) | dict(code='0'*12))
    with pytest.raises(engine.StudyError, match='has other code or versions'): study('LMModel5', 1, tmp_path, backend='dask', scheduler=scheduler)
    assert not lines(tmp_path)


@pytest.mark.parametrize('address, says', [('', 'needs the address of one'), ('tcp://127.0.0.1:1', 'there is none at tcp://127.0.0.1:1'), ('host', "such as --scheduler tcp://host:8786, not 'host'")])
def test_no_scheduler(address, says, tmp_path):
    p = subprocess.run([command, '--backend', 'dask', '--scheduler', address, '--seeds', '1', '--out', tmp_path/'results'], capture_output=True, text=True)
    assert p.returncode == 2 and says in p.stderr and len(p.stderr.strip().splitlines()) == 1


def test_dask_without_fit_workers(tmp_path):
    from dask.distributed import LocalCluster
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster:
        with pytest.raises(engine.StudyError, match='workers with 2 threads'): study('LMModel5', 1, tmp_path, backend='dask', scheduler=cluster.scheduler_address)
    with LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster:
        with pytest.raises(engine.StudyError, match='has no workers'): study('LMModel5', 1, tmp_path, backend='dask', scheduler=cluster.scheduler_address)


def test_a_hundred_thousand_runs_are_read(tmp_path):
    "Those of another study don't hide the two that are asked for"
    rec = dict(model='LMModel5', seed=0, **conditions('LMModel5'), seconds=1., curves={c: [.123456789]*15 for c in ('train_loss', 'valid_loss', 'accuracy')})
    with open(tmp_path/'runs.jsonl', 'w') as f:
        for s in range(100_000): f.write(json.dumps(rec | dict(seed=s)) + '\n')
    before = (tmp_path/'runs.jsonl').stat().st_size
    runs = study('LMModel5', [5, 99_999], tmp_path)
    assert runs.seed.unique().tolist() == [5, 99_999] and len(runs) == 30
    assert (tmp_path/'runs.jsonl').stat().st_size == before and len(Runs(tmp_path).load()) == 100_000
