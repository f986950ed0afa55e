"""What goes wrong on somebody's machine: a killed study, a folder that can't be written, no
network, no git, no home. After each there is one clear line, nothing finished is lost, and the next
call goes on. More faults are in test_engine.py and test_command.py: `pytest -m fault` runs all."""

import codecs
import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import psutil
import pytest

from processes import call, running, time_limit, wait_for  # noqa: F401
from test_command import keep, pages, stored
from test_engine import coin, here, is_running, seeds_in

import rnnlm.commands as commands
import rnnlm.replicate.store as storage
from rnnlm.data import human_numbers, human_numbers_dls
from rnnlm.replicate.experiment import Experiment, StudyError, study
from rnnlm.replicate.store import Run, Store, StoreError

pytestmark = pytest.mark.fault

root = Path(__file__).parent.parent
model = 'LMModel5: ReLU'
nobody = 65534
not_permitted = 77


# A process that has imported all, and forks for each call of the command


def without_network():
    "Into a namespace with no network, or end with a status that says that this isn't permitted"
    new_net, new_user = 0x40000000, 0x10000000
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    if unshare(new_net) and unshare(new_net | new_user):
        os._exit(not_permitted)


def without_home():
    os.environ.pop('HOME', None)
    # jinja2 asks for it late, and the interpreter may be in a home that only root can read
    codecs.lookup('unicode-escape')
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(nobody)
        os.setuid(nobody)


def without_git():
    os.environ['PATH'] = ''
    assert not shutil.which('git')


def slow_coin():
    "The model becomes a coin that takes a moment"
    commands.experiment = lambda name: coin(name, wait=0.2)


def bad_archive():
    "fastai's cache has an archive that somebody has changed"
    home = Path(tempfile.mkdtemp())
    os.environ['FASTAI_HOME'] = str(home)
    (home / 'archive').mkdir()
    (home / 'archive' / 'human_numbers.tgz').write_bytes(b'tampered with')
    commands.chosen = lambda models: human_numbers(download=True)


changes = [without_network, without_home, without_git, slow_coin, bad_archive]


def serve():
    "For each line, the command with these options in a fork; its id at once, its status at its end"
    named = {o.__name__: o for o in changes}
    # as in a terminal; a command that is started by nohup has to go on
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            said = os.open(job['said'], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(said, 1)
            os.dup2(said, 2)
            for name in job['changes']:
                named[name]()
            status = 99
            try:
                commands.rnnlm_reproduce(**job['options'])
            except SystemExit as e:
                status = e.code
            except BaseException as e:
                print(f'Traceback: {type(e).__name__}: {e}')
            sys.stdout.flush()
            os._exit(status)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


@pytest.fixture(scope='module')
def server():
    path = f'import sys\nsys.path.insert(0, {str(root / "tests")!r})\n'
    code = path + 'import test_faults\ntest_faults.serve()'
    with running(sys.executable, '-c', code, stderr=None) as p:
        yield p


@pytest.fixture
def start(server, tmp_path):
    "A function that starts the command and gives its process"

    def start(*changes, **options):
        said = tmp_path / 'said.txt'
        options = {k: str(v) for k, v in {**dict(models=model), **options}.items()}
        job = dict(said=str(said), changes=[o.__name__ for o in changes], options=options)
        print(json.dumps(job), file=server.stdin, flush=True)
        pid = int(server.stdout.readline())

        def end():
            status = int(server.stdout.readline())
            if status == not_permitted:
                pytest.skip('a namespace without a network is not permitted here')
            return SimpleNamespace(status=status, said=said.read_text(encoding='utf-8'))

        return SimpleNamespace(pid=pid, end=end)

    return start


@pytest.fixture
def done(tmp_path):
    "A folder that anyone may write to, with all runs that the command is asked for; its options"
    out = Path(tempfile.mkdtemp(prefix='faults-'))
    runs = stored(model, 2)
    keep(out, model, runs)
    for o in (out, out / 'runs.sqlite'):
        o.chmod(0o777)
    yield dict(out=out, seeds=2, first_seed=runs.seed.min())
    shutil.rmtree(out)


def is_reproduced(p, out):
    assert p.status == 0 and f'{model}: reproduced' in p.said, p.said
    assert 'Traceback' not in p.said and json.loads((Path(out) / 'verdict.json').read_text())


# Ended by others


def family(pid):
    "The ids of a process and all below it"
    return [o.pid for o in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))]


@pytest.mark.parametrize(
    'name, options, status',
    [
        ('SIGTERM', dict(jobs=2), 143),
        ('SIGKILL', dict(jobs=2), -9),
        ('SIGHUP', dict(backend='sequential'), 129),
    ],
)
def test_a_study_is_ended(name, options, status, start, tmp_path):
    "Workers end with it, so that whoever reads its output is told the end; what is finished stays"
    out = tmp_path / 'out'
    p = start(slow_coin, seeds=500, out=out, **options)
    wait_for(lambda: (out / 'runs.sqlite').exists() and seeds_in(out), 100)
    pids = family(p.pid)
    assert len(pids) >= 1 + options.get('jobs', 0)
    os.kill(p.pid, getattr(signal, name))
    said = p.end()
    assert said.status == status and 'Traceback' not in said.said
    assert said.said.count('the same command goes on from there') == (name != 'SIGKILL')
    wait_for(lambda: not any(map(is_running, pids)), 10)
    kept = set(seeds_in(out))
    here(coin(model), [*sorted(kept), 1_000_000], out)
    assert kept and set(seeds_in(out)) == kept | {1_000_000}


kernel = '''
import asyncio, sys, time
sys.path.insert(0, {tests!r})
import kernels
kernels.forks.set_forkserver_preload(['ipykernel.kernelapp'])      # torch would only take time here

async def start():
    kernel = kernels.Kernel()
    await kernel.start_kernel()
    client = kernel.client()
    client.start_channels()
    await client.wait_for_ready(timeout=60)
    print(kernel.provisioner.pid, flush=True)
    time.sleep(600)

if __name__ == '__main__':
    asyncio.run(start())
'''


def test_a_killed_test_run_leaves_no_kernel(tmp_path):
    script = tmp_path / 'script.py'
    script.write_text(kernel.format(tests=str(root / 'tests')))
    with running(sys.executable, script) as p:
        pid = int(p.stdout.readline())
        pids = family(p.pid)
        assert pid in pids and is_running(pid)
        p.kill()
        wait_for(lambda: not any(map(is_running, pids)), 20)


install = '''#!/bin/sh
echo "$@" >>calls
case "$*" in
    '-m venv .venv') mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    *'pip install'*' uv') [ -e again ] || { touch waiting; sleep 600; }; exit 1 ;;
esac
'''


@pytest.mark.skipif(not shutil.which('make'), reason='there is no make')
def test_an_interrupted_install(tmp_path):
    "It isn't taken for a finished one: the same call begins it once more"
    for name in ('Makefile', 'settings.ini', 'setup.py', 'pyproject.toml', '.ci/install'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(root / name, tmp_path / name)
    (tmp_path / 'python').write_text(install)
    (tmp_path / 'python').chmod(0o755)
    make = ['make', f'PYTHON={tmp_path / "python"}', '.venv/.made']
    with running(*make, cwd=tmp_path):
        wait_for((tmp_path / 'waiting').exists, 20)
    assert not (tmp_path / '.venv' / '.made').exists()
    (tmp_path / 'again').touch()
    (tmp_path / 'calls').unlink()
    p = call(*make, cwd=tmp_path)
    assert p.returncode == 0, p.stderr
    assert (tmp_path / '.venv' / '.made').exists()
    assert "-e .[dev]" in (tmp_path / 'calls').read_text()
    (tmp_path / 'calls').unlink()
    assert call(*make, cwd=tmp_path).returncode == 0 and not (tmp_path / 'calls').exists()


# Files


def test_a_report_that_cannot_be_written(done, start):
    "The verdict is said all the same, and the status doesn't say that nothing is reproduced"
    out, page = done['out'], pages[-1]
    is_reproduced(start(**done).end(), out)
    before = (out / 'report.html').read_bytes()
    (out / f'{page}.part').mkdir()
    p = start(**done).end()
    assert p.status == 2 and f'{model}: reproduced' in p.said and 'Traceback' not in p.said
    assert p.said.count("the report can't be written") == 1 and 'Report:' not in p.said
    assert (out / 'report.html').read_bytes() == before
    (out / f'{page}.part').rmdir()
    is_reproduced(start(**done).end(), out)


def removed(folder):
    shutil.rmtree(folder)


def emptied(folder):
    (folder / 'runs.sqlite').write_bytes(b'')


@pytest.mark.parametrize('how', [removed, emptied])
def test_results_that_vanish_while_a_study_is_running(how, tmp_path):
    "What was finished is written once more"
    out = tmp_path / 'out'

    def train(seed):
        if seed == 3:
            how(out)
        return coin().train(seed)

    here(Experiment('coin', train), 6, out)
    assert seeds_in(out) == list(range(6))


def test_a_lock_is_not_waited_for_in_silence(tmp_path, capfd):
    store = Store(tmp_path, wait=2.5)
    with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute('begin exclusive')
        began = time.monotonic()
        with pytest.raises(StoreError, match='another program has kept it locked') as e:
            store.load()
        assert time.monotonic() - began < 10 and '\n' not in str(e.value)
    said = capfd.readouterr().err
    assert said.count('\n') == 1 and 'waiting for it, 2 s at most' in said
    assert store.load() == [] and not capfd.readouterr().err


def test_a_folder_of_somebody_else(start, tmp_path):
    if os.geteuid():
        pytest.skip('only root has folders of others at hand')
    out = Path(tempfile.mkdtemp(prefix='faults-'))
    try:
        out.chmod(0o755)
        p = start(without_home, out=out, seeds=1).end()
        assert p.status == 2 and "can't be written (Permission denied)" in p.said
        assert p.said.count('\n') == 1 and not list(out.iterdir())
    finally:
        shutil.rmtree(out)


def test_a_path_with_blanks_and_accents(done, start, tmp_path):
    out = tmp_path / 'mes résultats, été №1'
    shutil.copytree(done['out'], out)
    is_reproduced(start(**{**done, 'out': out}).end(), out)
    assert (out / 'report.html').exists()


def test_the_clock_is_moved_back(tmp_path, monkeypatch):
    class Earlier(storage.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(1999, 1, 1, tzinfo=tz)

    whole = here(coin(), 6, tmp_path / 'whole')
    here(coin(), 3, tmp_path / 'out')
    hours = iter(range(10_000, 0, -1))
    monkeypatch.setattr(storage, 'datetime', Earlier)
    monkeypatch.setattr(time, 'time', lambda: 3600.0 * next(hours))
    assert here(coin(), 6, tmp_path / 'out').equals(whole)
    with contextlib.closing(sqlite3.connect(tmp_path / 'out' / 'runs.sqlite')) as db:
        years = [o[0][:4] for o in db.execute('select finished from runs order by seed')]
    assert len(years) == 6 and years[3:] == ['1999'] * 3 and '1999' not in years[:3]


# Machines


@pytest.mark.parametrize('change', [without_network, without_git, without_home])
def test_a_bare_machine(change, done, start):
    "The verdict doesn't need a network, git, a home or root"
    is_reproduced(start(change, **done).end(), done['out'])


def test_a_changed_archive(start, tmp_path):
    "fastai fetches it anew; where it can't, one line says what does without it"
    p = start(without_network, bad_archive, out=tmp_path / 'out').end()
    assert "OSError: download: fastai's archive can't be fetched" in p.said, p.said
    assert 'without download=True the same text is made here' in p.said


def test_an_archive_of_something_else(tmp_path, monkeypatch):
    for name in ('train.txt', 'valid.txt'):
        (tmp_path / name).write_text('one \nten \n')
    monkeypatch.setattr('rnnlm.data.untar_data', lambda url: tmp_path)
    with pytest.raises(ValueError, match='is not Human Numbers .*move that folder away'):
        human_numbers(download=True)


# Slips


@pytest.mark.parametrize(
    'address', ['tcp://127.0.0.1:1', 'tcp://no such host:1', 'tcp://127.0.0.1', 'tcp://h:x']
)
def test_a_wrong_scheduler_is_found_at_once(address, tmp_path):
    "The second time, too"
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(StudyError, match='^scheduler: ') as e:
            study(coin(), 1, tmp_path, backend='dask', scheduler=address)
        assert time.monotonic() - began < 8 and '\n' not in str(e.value)


def test_something_else_listens_where_the_scheduler_should(tmp_path):
    with socket.create_server(('127.0.0.1', 0)) as other:
        address = 'tcp://{}:{}'.format(*other.getsockname())
        began = time.monotonic()
        with pytest.raises(StudyError, match='^scheduler: there is none at'):
            study(coin(), 1, tmp_path, backend='dask', scheduler=address)
    assert time.monotonic() - began < 40


@pytest.mark.parametrize('n', ['10', 0, True, None])
def test_a_last_number_that_is_none_cannot_be_downloaded(n):
    with pytest.raises(ValueError, match='^n: must be a whole number'):
        human_numbers(n, download=True)


@pytest.mark.parametrize('device', ['gpu', 'cuda:99', 3.5])
def test_a_device_that_is_not_here(device):
    with pytest.raises(ValueError, match="^device: .*can't be used here") as e:
        human_numbers_dls(device=device)
    assert '\n' not in str(e.value)
    assert human_numbers_dls(device='cpu').device.type == 'cpu'


def open_reader(folder):
    "Another program that reads the results, and does not come to an end"
    db = sqlite3.connect(folder / 'runs.sqlite', isolation_level=None, check_same_thread=False)
    db.execute('begin')
    db.execute('select * from runs').fetchall()
    return db


def test_a_reader_is_waited_for(tmp_path, capfd):
    "It does not keep us from beginning, but from committing"
    Store(tmp_path).add(Run('coin', '1', 'torch', 0, dict(loss=[1.0]), {}))
    reader = open_reader(tmp_path)
    end = threading.Timer(3, reader.execute, ['rollback'])
    end.start()
    assert Store(tmp_path).add(Run('coin', '1', 'torch', 1, dict(loss=[1.0]), {}))
    end.join()
    said = capfd.readouterr().err.splitlines()
    assert len(said) in (1, 2) and all('waiting for it, 60 s at most' in o for o in said)
    assert len(Store(tmp_path).load()) == 2


def test_the_folder_is_removed_in_the_middle_of_a_transaction(tmp_path, monkeypatch):
    out, opened = tmp_path / 'out', Store.open
    wanted = [0, 1, 2]

    @contextlib.contextmanager
    def removed(self):
        with opened(self) as db:
            shutil.rmtree(out)
            monkeypatch.setattr(Store, 'open', opened)
            yield db

    def train(seed):
        if seed == 1:
            monkeypatch.setattr(Store, 'open', removed)
        return pd.DataFrame(dict(loss=[1.0]))

    study(Experiment('coin', train), wanted, out, backend='sequential')
    assert [o.seed for o in Store(out).load()] == wanted
