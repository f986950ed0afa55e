"""The engine: killed, crowded, out of disk, fed with garbage, spread over Dask workers.

Most experiments here are made up, a function of a seed that sleeps a little: the training is not
the point.
"""

import contextlib
import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import rnnlm.replicate.experiment as engine
import rnnlm.replicate.store as storage
from processes import running, time_limit, wait_for  # noqa: F401
from rnnlm.replicate.experiment import Experiment, StudyError, as_seeds, from_learner, seeded, study
from rnnlm.replicate.judge import judge
from rnnlm.replicate.report import report
from rnnlm.replicate.store import Store, StoreError, libraries

bin = Path(sys.executable).parent
nan = float('nan')


def coin(name='coin', epochs=3, wait=0.0, log=None, **kwargs):
    "An experiment whose loss is chance; it notes in the folder `log` the seeds it was trained from"

    def train(seed):
        if log:
            with open(Path(log) / str(seed), 'a') as file:
                file.write('trained\n')
        time.sleep(wait)
        loss = 2 / (1 + np.arange(epochs)) + np.random.default_rng(seed).normal(0, 0.1, epochs)
        return pd.DataFrame(dict(loss=loss, score=1 - loss / 3))

    return Experiment(name, train, **kwargs)


def here(experiments, seeds, out, **kwargs):
    "A study in this process"
    return study(experiments, seeds, out, **{'backend': 'sequential', **kwargs})


def seeds_in(out):
    "The seeds of all runs that are kept, one for each row"
    return [o.seed for o in Store(out).load()]


def trained(log):
    "How often each seed was trained"
    return {int(o.name): o.read_text().count('trained') for o in Path(log).iterdir()}


@pytest.fixture
def log(tmp_path):
    "A folder for notes"
    folder = tmp_path / 'log'
    folder.mkdir()
    return folder


# Killed

nursery = '''
import os, sys, time
sys.path.insert(0, {tests!r})
from test_engine import coin, here

for line in sys.stdin:                                             # a study for each line
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)
        here([coin(wait=.02), coin('dice', wait=.01)], {n}, line.strip())
        os._exit(0)
    print(child, flush=True)
'''


@contextlib.contextmanager
def studies_to_kill(folder, n=80):
    "A function that starts a study in a process of its own, at once, and gives its id"
    code = nursery.format(tests=str(Path(__file__).parent), n=n)
    with open(folder / 'said.txt', 'w') as said:
        with running(sys.executable, '-c', code, stderr=said) as p:

            def start(out):
                print(out, file=p.stdin, flush=True)
                return int(p.stdout.readline())

            yield start


def is_running(pid):
    "Is there such a process, and is it no zombie?"
    try:
        return Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] != 'Z'
    except OSError:
        return False


def rows(out):
    "What is kept, as it is stored; nothing before the first run"
    path = Path(out) / 'runs.sqlite'
    if not path.exists():
        return set()
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as db:
        try:
            return set(db.execute('select * from runs'))
        except sqlite3.OperationalError:  # not yet made
            return set()


@pytest.mark.fault
def test_killed_ten_times_at_random_moments(tmp_path):
    "Nothing finished is lost, nothing is doubled, and the rows are those of an unkilled study"
    out, kept, rng = tmp_path / 'killed', set(), random.Random(0)
    with studies_to_kill(tmp_path) as start:
        for _ in range(10):
            child = start(out)
            wait_for(lambda: len(rows(out)) > len(kept) or not is_running(child))
            time.sleep(rng.uniform(0, 0.3))
            os.kill(child, signal.SIGKILL)
            wait_for(lambda: not is_running(child))
            now = rows(out)
            assert kept <= now
            kept = now
        assert 10 <= len(kept) < 160, 'killed too early, or too late, to say anything'
        child = start(out)
        wait_for(lambda: not is_running(child))
    assert kept <= rows(out) and len(rows(out)) == 160
    experiments = [coin(), coin('dice')]
    whole = here(experiments, 80, tmp_path / 'whole')
    pd.testing.assert_frame_equal(here(experiments, 80, out), whole, check_exact=True)


@pytest.mark.fault
def test_two_studies_in_one_folder(tmp_path):
    with studies_to_kill(tmp_path, n=20) as start:
        children = [start(tmp_path / 'out') for _ in range(2)]
        wait_for(lambda: not any(map(is_running, children)))
    assert (tmp_path / 'said.txt').read_text().count('Traceback') == 0
    assert sorted(seeds_in(tmp_path / 'out')) == sorted([*range(20)] * 2)
    experiments = [coin(), coin('dice')]
    whole = here(experiments, 20, tmp_path / 'whole')
    pd.testing.assert_frame_equal(here(experiments, 20, tmp_path / 'out'), whole, check_exact=True)


@pytest.mark.fault
def test_a_killed_worker_is_replaced_and_reported(tmp_path, log, capfd):
    def train(seed):
        if seed == 2 and not (log / 'died').exists():
            (log / 'died').touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return pd.DataFrame(dict(loss=[float(seed)]))

    runs = study(Experiment('mortal', train), 6, tmp_path, jobs=2)
    assert runs.loss.tolist() == list(range(6)) and sorted(seeds_in(tmp_path)) == list(range(6))
    assert capfd.readouterr().err.count('a worker process was killed') == 1


@pytest.mark.fault
def test_workers_that_die_again_and_again_end_the_study(tmp_path, monkeypatch, capfd):
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    real = engine.one_run

    def dies(experiment, seed, *args):
        if seed == 1:
            raise TerminatedWorkerError()
        return real(experiment, seed, *args)

    monkeypatch.setattr(engine, 'one_run', dies)
    with pytest.raises(StudyError, match='killed 3 times in a row') as e:
        here(coin(), [0, 1], tmp_path)
    assert '\n' not in str(e.value) and seeds_in(tmp_path) == [0]
    assert capfd.readouterr().err.count('a worker process was killed') == 2


def test_an_error_of_the_training_is_shown_as_it_is(tmp_path):
    def train(seed):
        if seed == 1:
            raise ZeroDivisionError('of my own')
        return pd.DataFrame(dict(loss=[1.0]))

    with pytest.raises(ZeroDivisionError, match='of my own'):
        here(Experiment('broken', train), 3, tmp_path)
    assert seeds_in(tmp_path) == [0]


# The file


def change(path, *queries):
    "Change an SQLite file as anyone could"
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        for query in queries:
            db.execute(query)


def other_table(path):
    path.unlink()
    change(path, 'create table notes (text)', "insert into notes values ('mine')")


def other_columns(path):
    path.unlink()
    change(path, 'create table runs (name, seed, loss)', "insert into runs values ('mine', 0, 1.)")


def torn(n):
    return lambda path: path.write_bytes(path.read_bytes()[:n])


def overwritten(path):
    data = bytearray(path.read_bytes())
    data[4100:6000] = random.Random(0).randbytes(1900)
    path.write_bytes(bytes(data))


damages = {
    'a short note': lambda path: path.write_text('mine'),
    'a long note': lambda path: path.write_text('mine ' * 5000),
    'bytes': lambda path: path.write_bytes(random.Random(0).randbytes(20_000)),
    'another database': other_table,
    'another schema': other_columns,
    'overwritten': overwritten,
    **{f'torn after {n}': torn(n) for n in (60, 100, 4096, 5000, 8192, 9000)},
}


@pytest.mark.fault
@pytest.mark.parametrize('damage', damages)
def test_a_file_that_is_something_else_is_left_alone(damage, tmp_path):
    here(coin(), 3, tmp_path)
    path = tmp_path / 'runs.sqlite'
    damages[damage](path)
    before = path.read_bytes()
    with pytest.raises(StudyError, match='is not a file of runs .*; nothing was changed') as e:
        here(coin(), 4, tmp_path)
    assert '\n' not in str(e.value) and path.read_bytes() == before


@pytest.mark.fault
@pytest.mark.parametrize(
    'column, value',
    [
        ('curves', "'nothing'"),
        ('curves', "'[1, 2]'"),
        ('curves', "'{}'"),
        ('curves', 'null'),
        ('curves', '5'),
        ('curves', """'{"loss": 3}'"""),
        ('curves', """'{"loss": []}'"""),
        ('curves', """'{"loss": ["x"]}'"""),
        ('curves', """'{"loss": [1, 2], "score": [1]}'"""),
        ('curves', "x'ff00'"),
        ('made', "'[1]'"),
        ('made', "'{'"),
        ('seed', "'a'"),
    ],
)
def test_a_row_that_is_not_a_run(column, value, tmp_path):
    here(coin(), 3, tmp_path)
    path = tmp_path / 'runs.sqlite'
    change(path, f'update runs set {column} = {value} where seed = 1')
    before = path.read_bytes()
    says = 'holds a row that is not a run .*; nothing was changed'
    with pytest.raises(StudyError, match=says) as e:
        here(coin(), 4, tmp_path)
    assert '\n' not in str(e.value) and path.read_bytes() == before


def test_an_empty_file_is_a_new_one(tmp_path):
    (tmp_path / 'runs.sqlite').touch()
    assert len(here(coin(), 2, tmp_path)) == 6 and seeds_in(tmp_path) == [0, 1]


@pytest.mark.fault
def test_a_folder_that_cannot_be_written(tmp_path, log):
    (tmp_path / 'file').write_text('mine')
    (tmp_path / 'folder' / 'runs.sqlite').mkdir(parents=True)
    outs = [tmp_path / 'file' / 'results', tmp_path / 'file', tmp_path / 'folder']
    if os.geteuid():  # root writes everywhere
        locked = tmp_path / 'locked'
        locked.mkdir(mode=0o500)
        outs += [locked, locked / 'results']
    for out in outs:
        with pytest.raises(StudyError, match="can't be written .*; choose another folder") as e:
            here(coin(log=log), 2, out)
        assert '\n' not in str(e.value)
    assert (tmp_path / 'file').read_text() == 'mine' and not trained(log)


@contextlib.contextmanager
def no_bigger_files(size):
    "No file of this process grows beyond `size`, as on a full disk"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def full_database(monkeypatch, pages):
    "SQLite's own error for a full disk, as soon as a file has so many pages"
    connect = sqlite3.connect

    def limited(*args, **kwargs):
        db = connect(*args, **kwargs)
        db.execute(f'pragma max_page_count = {pages}')
        return db

    monkeypatch.setattr(storage.sqlite3, 'connect', limited)


@pytest.mark.fault
@pytest.mark.parametrize('how', ['a full disk', 'a write that fails'])
def test_disk_full(how, tmp_path, monkeypatch):
    with contextlib.ExitStack() as stack:
        if how == 'a full disk':
            full_database(stack.enter_context(monkeypatch.context()), 4)
        else:
            stack.enter_context(no_bigger_files(4 * 4096))
        with pytest.raises(StudyError, match="can't be written .*finished runs are kept") as e:
            here(coin(epochs=20), 60, tmp_path)
    assert '\n' not in str(e.value)
    kept = rows(tmp_path)
    assert 3 < len(kept) < 60
    runs = here(coin(epochs=20), 60, tmp_path)  # there is room again
    assert kept <= rows(tmp_path) and len(rows(tmp_path)) == 60
    whole = here(coin(epochs=20), 60, tmp_path / 'whole')
    pd.testing.assert_frame_equal(runs, whole, check_exact=True)


@pytest.mark.fault
def test_another_program_keeps_it_locked(tmp_path):
    store = Store(tmp_path, wait=0.1)
    with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute('begin exclusive')
        with pytest.raises(StoreError, match='another program has kept it locked for 0 s'):
            store.load()
    assert store.load() == []


@pytest.mark.fault
def test_the_file_removed_while_a_study_is_running(tmp_path):
    "What was finished is written once more"
    inner = coin().train

    def train(seed):
        if seed == 3:
            (tmp_path / 'runs.sqlite').unlink()
        return inner(seed)

    runs = here(Experiment('coin', train), 6, tmp_path)
    assert seeds_in(tmp_path) == list(range(6))
    pd.testing.assert_frame_equal(here(coin(), 6, tmp_path), runs, check_exact=True)


def test_a_hundred_thousand_runs_are_read(tmp_path):
    "Those of other seeds don't hide the two that are asked for"
    here(coin(epochs=15), 1, tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / 'runs.sqlite')) as db, db:
        row = db.execute('select * from runs').fetchone()
        many = ([*row[:3], seed, *row[4:]] for seed in range(1, 100_000))
        db.executemany(f'insert into runs values ({", ".join("?" * 7)})', many)
    began = time.monotonic()
    runs = here(coin(epochs=15), [5, 99_999], tmp_path)
    assert time.monotonic() - began < 60
    assert runs.seed.unique().tolist() == [5, 99_999] and len(runs) == 30


# Versions


@pytest.mark.fault
def test_runs_of_another_version_or_other_libraries_are_kept_and_not_used(tmp_path, log, capfd):
    here(coin(log=log), 2, tmp_path)
    here(coin(log=log, version='2'), 2, tmp_path)
    assert '2 runs of other versions are kept and not used' in capfd.readouterr().out
    change(
        tmp_path / 'runs.sqlite', "update runs set libraries = 'torch 1.4.0' where version = '1'"
    )
    here(coin(log=log), 2, tmp_path)
    assert '4 runs of other versions are kept and not used' in capfd.readouterr().out
    kept = {(o.version, o.libraries, o.seed) for o in Store(tmp_path).load()}
    kinds = [('1', 'torch 1.4.0'), ('1', libraries()), ('2', libraries())]
    assert kept == {(*o, seed) for o in kinds for seed in (0, 1)}
    assert trained(log) == {0: 3, 1: 3}
    here([coin(log=log), coin('dice')], 2, tmp_path)
    assert trained(log) == {0: 3, 1: 3}


def test_what_made_a_run_is_recorded(tmp_path):
    here(replace(coin(), source='rnnlm'), 1, tmp_path)
    made = Store(tmp_path).load()[0].made
    assert made['package'].startswith('rnnlm ') and made['threads'] == 1 and made['seconds'] >= 0
    assert made['python'] == sys.version.split()[0] and made['cpu']
    here(coin('of nobody'), 1, tmp_path)
    assert 'package' not in Store(tmp_path).load('of nobody')[0].made


# Numbers that are none


def test_numbers_that_are_not_finite(tmp_path):
    "They are kept as `None`, and reported, and never condemn the rest"
    inner = coin().train

    def train(seed):
        frame = inner(seed)
        if seed == 1:
            frame.loc[1:, 'loss'] = nan
        if seed == 2:
            frame.loc[2, 'score'] = -np.inf
        return frame[:1] if seed == 3 else frame  # gave up after an epoch

    reference = here(coin(), range(100, 200), tmp_path / 'reference')
    printed = coin().train(5000).assign(epoch=range(3))
    broken = Experiment('coin', train)
    runs = here(broken, 6, tmp_path)
    kept = {o.seed: o.curves for o in Store(tmp_path).load()}
    assert kept[1]['loss'][1:] == [None, None] and kept[2]['score'][2] is None
    assert 'NaN' not in str(rows(tmp_path)) and 'Infinity' not in str(rows(tmp_path))
    pd.testing.assert_frame_equal(here(broken, 6, tmp_path), runs)
    v = judge(runs, printed, reference, name='coin')
    assert v.diverged == [1, 2, 3] and v.reproduced is True and set(v.own.seeds) == {3}
    report(v, tmp_path)
    said = json.loads((tmp_path / 'verdict.json').read_text())['tables'][0]
    assert said['diverged'] == [1, 2, 3] and said['reproduced'] is True
    assert 'Seed 1, 2, 3 diverged.' in (tmp_path / 'report.md').read_text()


@pytest.mark.parametrize(
    'gives, says',
    [
        (lambda seed: {}, 'not dict'),
        (lambda seed: None, 'not NoneType'),
        (lambda seed: pd.DataFrame(), 'not one without numbers'),
        (lambda seed: pd.DataFrame(dict(epoch=[0, 1])), 'not one without numbers'),
        (lambda seed: pd.DataFrame(columns=['epoch', 'loss']), 'not one without numbers'),
        (lambda seed: pd.DataFrame(dict(loss=[1.0], time=['00:01'])), 'a metric that is no number'),
    ],
)
def test_a_training_that_gives_no_table(gives, says, tmp_path):
    with pytest.raises(StudyError, match=says) as e:
        here(Experiment('odd', gives), 2, tmp_path)
    assert str(e.value).startswith('odd: train') and '\n' not in str(e.value)
    assert not seeds_in(tmp_path)


# Tables of any kind

kinds = [
    dict(loss=float, perplexity=float, bleu=float),
    {'f1 (macro)': float, 'Größe': float},
    dict(correct=int),
    dict(won=bool),
    dict(low=np.float32, half=np.float16),
]


@pytest.mark.parametrize('kind, epochs', list(zip(kinds, [30, 2, 1, 5, 1])))
def test_any_metrics_and_any_number_of_epochs(kind, epochs, tmp_path):
    def train(seed):
        rng = np.random.default_rng(seed)
        return pd.DataFrame({k: rng.normal(5, 3, epochs).astype(t) for k, t in kind.items()})

    def numbered(seed):
        return train(seed).astype(float).assign(epoch=range(epochs))

    reference = pd.concat([numbered(seed).assign(seed=seed) for seed in range(120)])
    runs = here(Experiment('any', train), [200, 201], tmp_path)
    assert list(runs) == ['experiment', 'seed', 'epoch', *kind] and len(runs) == 2 * epochs
    assert runs[list(kind)][:epochs].to_numpy().tolist() == train(200).to_numpy(float).tolist()
    printed = numbered(3000)
    holes = printed.copy()
    holes.loc[holes.index[:-1:2], list(kind)[0]] = nan
    for table in (printed, holes, printed.tail(1), printed.tail(1).drop(columns='epoch')):
        v = judge(runs, table, reference, name='any')
        assert v.printed_ok is True and v.own_ok is True
    report(v, tmp_path)


def test_experiments_with_different_metrics_in_one_study(tmp_path):
    def train(seed):
        return pd.DataFrame(dict(bleu=[float(seed)]))

    runs = here([coin(), Experiment('bleu', train)], 2, tmp_path)
    assert list(runs) == ['experiment', 'seed', 'epoch', 'loss', 'score', 'bleu']
    assert runs.experiment.tolist() == ['coin'] * 6 + ['bleu'] * 2
    assert runs.bleu.isna().tolist() == [True] * 6 + [False] * 2
    assert judge(runs[runs.experiment == 'coin']).diverged == []


def test_a_recipe_of_ones_own_twice(tmp_path, log):
    "Through `study`, `judge` and `report`; the second time all comes from the store"
    reference = here(coin(), range(1000, 1100), tmp_path)
    printed = coin().train(5000).assign(epoch=range(3))
    mine = coin(log=log, published=printed, reference=reference)
    pages = []
    for _ in range(2):
        runs = here(mine, 4, tmp_path)
        page = report(judge(runs, mine.published, mine.reference, name=mine.name), tmp_path)
        pages.append(
            [
                (page.parent / o).read_bytes()
                for o in ('report.html', 'report.md', 'verdict.json', 'junit.xml')
            ]
        )
    assert pages[0] == pages[1] and trained(log) == {o: 1 for o in range(4)}
    assert b'All reproduced.' in pages[0][0]


# Seeds


def test_seeds(tmp_path):
    assert as_seeds(3) == as_seeds(np.int64(3)) == as_seeds([0, 1, 2, 1, 0]) == [0, 1, 2]
    assert as_seeds(np.arange(2)) == as_seeds(o for o in (0, 1)) == [0, 1]
    assert as_seeds([2**63 - 1]) == [2**63 - 1]
    assert here(coin(), [2**63 - 1], tmp_path).seed.tolist() == [2**63 - 1] * 3


# Stopped early


def test_a_study_that_is_stopped(tmp_path, log):
    asked = []

    def stop(runs):
        asked.append(runs.seed.nunique())
        return len(asked) == 3

    runs = here(coin(log=log), 10, tmp_path, stop=stop)
    assert asked == [1, 2, 3] and runs.seed.unique().tolist() == [0, 1, 2] == seeds_in(tmp_path)
    assert trained(log) == {0: 1, 1: 1, 2: 1}


def test_runs_from_the_store_are_looked_at_first(tmp_path, log):
    here(coin(), 2, tmp_path)
    runs = here(coin(log=log), 4, tmp_path, stop=lambda runs: runs.seed.nunique() == 2)
    assert runs.seed.unique().tolist() == [0, 1] and not trained(log)


# Learners


def shuffling_loaders():
    "Loaders of fastai's that shuffle"
    from fastai.data.core import DataLoaders

    rows = [(x, 2 * x + 1) for x in torch.linspace(-1, 1, 96)[:, None]]
    return DataLoaders.from_dsets(rows, rows[::3], bs=16, shuffle=True, num_workers=0, device='cpu')


def noisy_loss(out, y):
    "A loss that draws from all three generators"
    noise = torch.rand(1) + np.random.rand() + random.random()
    return (out - y).pow(2).mean() + 0.01 * noise.sum()


def shuffling(dls=None, epochs=3):
    "An experiment that fits a line, on loaders made here or given"
    from fastai.learner import Learner

    def make_learner():
        return Learner(dls or shuffling_loaders(), torch.nn.Linear(1, 1), noisy_loss)

    return from_learner('line', make_learner, lambda learn: learn.fit(epochs, 0.1))


def test_learners_that_shuffle():
    "A seed gives the same table whether loaders are made inside or outside, and used before or not"
    dls = shuffling_loaders()
    tables = [shuffling().train(3), shuffling().train(3), shuffling(dls).train(3)]
    list(dls.train)
    random.random(), np.random.rand(), torch.rand(1)
    tables.append(shuffling(dls).train(3))
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0], check_exact=True)
    assert not shuffling().train(4).equals(tables[0])


def test_a_seed_leaves_all_as_it_was():
    def states():
        return [
            torch.get_rng_state().tolist(),
            str(np.random.get_state()),
            random.getstate(),
            torch.get_num_threads(),
        ]

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        before = states()
        shuffling(epochs=1).train(0)
        assert states() == before
        with pytest.raises(ZeroDivisionError), seeded(1):
            torch.rand(1), np.random.rand(), random.random(), 1 / 0
        assert states() == before
    finally:
        torch.set_num_threads(threads)


def test_a_fit_that_ends_early():
    from fastai.callback.core import Callback, CancelFitException

    class Stop(Callback):
        def __init__(self, epoch):
            self.at = epoch

        def after_batch(self):
            if self.epoch == self.at:
                raise CancelFitException()

    for at in (0, 1):
        line = shuffling()
        make_learner, fit = line.train.args
        early = from_learner('line', lambda: make_learner().add_cb(Stop(at)), fit)
        table = early.train(3)
        assert list(table) == ['epoch', 'train_loss', 'valid_loss'] and len(table) == 1
        assert table.train_loss.isna().all() == (at == 0)


# Dask


def tiny():
    "An experiment that trains a small net, so that equal tables mean equal arithmetic"

    def train(seed):
        with seeded(seed):
            layers = torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1)
            net = torch.nn.Sequential(*layers)
            opt = torch.optim.Adam(net.parameters(), 0.01)
            losses = []
            for _ in range(20):
                x = torch.randn(64, 8)
                loss = (net(x) - x.sin().sum(1, keepdim=True)).pow(2).mean()
                opt.zero_grad()
                loss.backward()
                opt.step()
                losses.append(loss.item())
        return pd.DataFrame(dict(loss=losses))

    return Experiment('tiny', train)


@contextlib.contextmanager
def cluster(folder, threads, n):
    "A Dask scheduler and `n` workers on the loopback interface, each a process of its own"
    file = folder / 'scheduler.json'
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
    local = ['--host', '127.0.0.1', '--no-dashboard']
    with contextlib.ExitStack() as stack:
        stack.enter_context(
            running(
                bin / 'dask', 'scheduler', *local, '--port', 0, '--scheduler-file', file, **quiet
            )
        )
        address = json.loads(wait_for(lambda: file.exists() and file.read_text()))['address']
        for _ in range(n):
            stack.enter_context(
                running(
                    bin / 'dask',
                    'worker',
                    address,
                    *local,
                    '--no-nanny',
                    '--nthreads',
                    threads,
                    **quiet,
                )
            )
        if n:
            from dask.distributed import Client

            with Client(address, set_as_default=False, timeout=30) as client:
                client.wait_for_workers(n, timeout=60)
        yield address


@pytest.fixture(scope='module')
def scheduler(tmp_path_factory):
    "The address of a scheduler with two workers"
    with cluster(tmp_path_factory.mktemp('dask'), 1, 2) as address:
        yield address


def test_dask_gives_the_same_tables(scheduler, tmp_path):
    experiments = [tiny(), coin()]
    dask = study(experiments, 4, tmp_path / 'dask', backend='dask', scheduler=scheduler)
    loky = study(experiments, 4, tmp_path / 'loky', backend='loky', jobs=2)
    pd.testing.assert_frame_equal(dask, loky, check_exact=True)
    pd.testing.assert_frame_equal(dask, here(experiments, 4, tmp_path / 'here'), check_exact=True)


@pytest.mark.fault
def test_dask_workers_with_other_libraries_are_refused(scheduler, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, 'libraries', lambda: 'torch 9.9.9')
    says = 'a worker on .* has torch .*, the study has torch 9.9.9; install the same there'
    with pytest.raises(StudyError, match=says):
        study(coin(), 2, tmp_path, backend='dask', scheduler=scheduler)
    assert not seeds_in(tmp_path)


def test_a_study_on_dask_is_stopped_too(scheduler, tmp_path):
    runs = study(
        coin(wait=0.1),
        50,
        tmp_path,
        backend='dask',
        scheduler=scheduler,
        stop=lambda runs: runs.seed.nunique() == 3,
    )
    assert runs.seed.nunique() == 3 == len(seeds_in(tmp_path))


@pytest.mark.fault
def test_a_dask_worker_that_is_killed(scheduler, tmp_path):
    "The other one does its work"
    died = tmp_path / 'died'

    def train(seed):
        if seed == 1 and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return pd.DataFrame(dict(loss=[float(seed)]))

    mortal = Experiment('mortal', train)
    runs = study(mortal, 6, tmp_path, backend='dask', scheduler=scheduler)
    assert died.exists() and runs.loss.tolist() == list(range(6))
    assert sorted(seeds_in(tmp_path)) == list(range(6))


@pytest.mark.fault
@pytest.mark.parametrize(
    'address, says',
    [
        (None, 'needs the address of one'),
        ('', 'needs the address of one'),
        ('host', "such as --scheduler tcp://host:8786, not 'host'"),
        ('tcp://127.0.0.1:1', 'there is none at tcp://127.0.0.1:1'),
    ],
)
def test_no_scheduler(address, says, tmp_path, monkeypatch):
    from dask.distributed import Client

    def hasty(*args, timeout, **kwargs):
        return Client(*args, timeout=1, **kwargs)

    monkeypatch.setattr('dask.distributed.Client', hasty)
    with pytest.raises(StudyError, match=says) as e:
        study(coin(), 1, tmp_path, backend='dask', scheduler=address)
    assert '\n' not in str(e.value) and not seeds_in(tmp_path)


@pytest.mark.fault
@pytest.mark.parametrize(
    'threads, n, says', [(2, 1, 'has workers with 2 threads'), (1, 0, 'has no workers')]
)
def test_schedulers_without_fit_workers(threads, n, says, tmp_path):
    with cluster(tmp_path, threads, n) as address:
        with pytest.raises(StudyError, match=says):
            study(coin(), 1, tmp_path / 'out', backend='dask', scheduler=address)


def test_a_stopped_study_goes_no_further_in_its_workers(tmp_path, log):
    began = time.monotonic()
    runs = study(coin(log=log, wait=0.3), 2000, tmp_path, jobs=2, stop=lambda runs: True)
    assert time.monotonic() - began < 60
    some = len(trained(log))
    assert runs.seed.nunique() == 1 == len(seeds_in(tmp_path)) and some <= 8
    time.sleep(1)
    assert len(trained(log)) == some
