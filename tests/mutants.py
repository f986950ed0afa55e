"""Do the tests notice mistakes? Each entry of mutants.yaml is a mistake that somebody could make.
It is made in a copy of the repository, and the tests that should notice it are run there, in a
fork of a process that has imported PyTorch and fastai already, which saves most of the time.

    python tests/mutants.py [--module lstm] [--jobs 2] [--out FILE]

What was tried is kept in a JSON file, results/mutants.json by default, under a hash of the mutant,
its module and its test files: the same command goes on where it was interrupted, and tries again
only what has changed. After all mutants, a summary goes to docs/mutants.json, for the site. The
status is 0 if at least 95 % of the mutants died by an assertion and the list says why each survivor
survives, 1 if not, and 2 if there is nothing to try: an entry does not fit its module, or a test
fails without it."""

import argparse
import hashlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import xml.etree.ElementTree as ET
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import yaml

root = Path(__file__).parent.parent
entries = Path(__file__).parent / 'mutants.yaml'
limit = 180  # seconds; who takes longer hangs
enough = 0.95  # of the mutants have to die by an assertion
by_assertion = ('AssertionError', 'nothing was raised')


@dataclass(frozen=True)
class Mutant:
    "A mistake in a module; the module as it is if `old` is `new`"

    module: str  # Such as `lstm` or `replicate.judge`
    old: str  # Text that is in the module exactly once
    new: str  # What is written there instead
    tests: tuple  # Files in tests/, or ids of tests, that should notice
    why: str = ''  # If it survives: why

    def __str__(self):
        if self.old == self.new:
            return f'{self.module}: as it is, {", ".join(self.tests)}'
        return f'{self.module}: {short(self.old)} -> {short(self.new)}'


def short(
    text,  # Code
    width=60,  # Characters
):
    "`text` in one line"
    text = ' '.join(text.split())
    return text if len(text) <= width else text[: width - 1] + '…'


def load(
    path=entries,  # A YAML list of `module`, `old`, `new`, `tests` and perhaps `why`
):
    "The mutants that a file lists"
    mutants = []
    for one in yaml.safe_load(Path(path).read_text(encoding='utf-8')):
        tests = one.pop('tests')
        tests = (tests,) if isinstance(tests, str) else tuple(tests)
        mutants.append(Mutant(**one, tests=tests))
    return mutants


def place(
    module,  # Such as `replicate.judge`
    package='rnnlm',  # Folder of the package
):
    "Where a module is, from the root of the repository"
    return Path(package) / (module.replace('.', '/') + '.py')


def misfits(
    mutants,
    root=root,  # Of the repository
    package='rnnlm',
):
    "A line for each mutant that does not fit its module"
    for m in mutants:
        path = root / place(m.module, package)
        n = path.read_text(encoding='utf-8').count(m.old) if path.exists() else 0
        if n != 1:
            yield f'{m}: `old` occurs {n} times in {place(m.module, package)}, not once'
        elif m.old == m.new:
            yield f'{m}: `new` is `old`'


def fingerprint(
    mutant,
    root=root,
    package='rnnlm',
):
    "A hash of a mutant, of its module and of its test files"
    said = json.dumps([mutant.module, mutant.old, mutant.new, mutant.tests])
    digest = hashlib.sha256(said.encode())
    files = {f'tests/{o.split("::")[0]}' for o in mutant.tests}
    for name in [place(mutant.module, package), *sorted(files)]:
        digest.update((root / name).read_bytes())
    return digest.hexdigest()


def copied(
    root,  # Of the repository
    to,  # Folder, made here
):
    "Copy what git would keep of the repository, with the files that are new"
    command = ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard']
    said = subprocess.run(command, cwd=root, capture_output=True, timeout=60, check=True).stdout
    for name in filter(None, said.decode().split('\0')):
        if (root / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, to / name)
    return to


def warm():
    "Import what takes seconds, so that no trial has to; nothing of ours is among it"
    os.environ.update(OMP_NUM_THREADS='1', PYTHONDONTWRITEBYTECODE='1')
    for name in ('torch', 'pandas', 'scipy.stats', 'matplotlib.pyplot', 'joblib', 'pytest'):
        importlib.import_module(name)
    importlib.import_module('fastai.text.learner')
    assert not any(o.split('.')[0] == 'rnnlm' for o in sys.modules)


def run_tests(
    folder,  # A copy of the repository
    tests,  # Files in its tests/, or ids of tests
):
    "Run tests in this process, which is a fork that has nothing else to do; pytest's exit status"
    os.setsid()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_DFL)
    log = os.open(folder / 'mutant.log', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(folder)
    # what was mutated before any other, here and in processes that the tests start
    here = Path(__file__).parent
    sys.path[:] = [str(folder), *(o for o in sys.path if o and Path(o) not in (here, root))]
    os.environ['PYTHONPATH'] = str(folder)
    # no compiled files: two mutants of one length in one second would be taken for one
    sys.dont_write_bytecode = True
    for name in ('processes', 'mutants'):
        sys.modules.pop(name, None)
    import pytest

    options = ['-x', '-q', '-p', 'no:cacheprovider', f'--junitxml={folder / "mutant.xml"}']
    return pytest.main([*options, *(f'tests/{o}' for o in tests)])


class Trial:
    "A mutant in a copy of the repository, and the tests that run there, in a process of their own"

    def __init__(
        self,
        mutant,
        folder,  # The copy
        package='rnnlm',
        limit=limit,  # Seconds
    ):
        self.mutant = mutant
        self.folder = folder
        self.limit = limit
        self.status = None
        self.path = folder / place(mutant.module, package)
        self.original = self.path.read_bytes()
        text = self.original.decode()
        self.path.write_bytes(text.replace(mutant.old, mutant.new, 1).encode())
        (folder / 'mutant.xml').unlink(missing_ok=True)
        self.seconds = 0.0
        self.seen = time.monotonic()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            status = 70
            try:
                status = int(run_tests(folder, mutant.tests))
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)

    def ended(self):
        "Has the process ended?"
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = status if pid else None
        return self.status is not None

    def finished(self):
        "What was found, or `None` while the tests are running"
        # who was paused did not hang, so a long time between two looks counts as a second
        now = time.monotonic()
        self.seconds += min(now - self.seen, 1)
        self.seen = now
        hangs = not self.ended() and self.seconds > self.limit
        if not hangs and self.status is None:
            return None
        self.close()
        found = dict(seconds=round(self.seconds, 1))
        if hangs:
            return dict(found, died=True, test='', kind=f'hangs: over {self.limit} s')
        if self.status == 0:
            return dict(found, died=False, test='', kind='')
        test, kind = noticed(self.folder / 'mutant.xml')
        return dict(found, died=True, test=test, kind=kind)

    def said(self):
        "The end of what the tests printed"
        lines = (self.folder / 'mutant.log').read_text(errors='replace').splitlines()
        return '\n'.join(lines[-25:])

    def close(self):
        "End the tests with all that they started, and put the module back"
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            # gone with all its children, or not yet the first of its group
            if self.status is None:
                os.kill(self.pid, signal.SIGKILL)
        if self.status is None:
            _, self.status = os.waitpid(self.pid, 0)
        self.path.write_bytes(self.original)


def noticed(
    report,  # JUnit's XML, as pytest writes it
):
    "The first test that failed, and how"
    if not report.exists():
        return '', 'pytest did not run'
    for case in ET.parse(report).getroot().iter('testcase'):
        for kind in ('failure', 'error'):
            found = case.find(kind)
            if found is not None:
                name = case.get('name') or case.get('classname')
                return name, kind_of(found.get('message', ''), found.text or '')
    return '', 'no test was run'


def kind_of(
    message,  # Of the exception, as pytest shortens it
    text='',  # All that pytest says of it
):
    "In a word or two, what noticed"
    first = message.split('\n')[0]
    if 'DID NOT RAISE' in message:
        return 'nothing was raised'
    # Hypothesis joins several failures of one test into a group
    if first.startswith(('assert', 'AssertionError')) or (
        'Hypothesis found' in message and 'AssertionError' in text
    ):
        return 'AssertionError'
    lines = [o[2:].strip() for o in text.splitlines() if o.startswith('E ')]
    return short(lines[-1] if first.startswith(('failed on', 'collection')) and lines else first)


def trials(
    todo,  # Mutants
    folders,  # Copies of the repository, one for each job
    package='rnnlm',
    limit=limit,
):
    "Try the mutants, as many at a time as there are copies: each trial, and what was found"
    todo = list(todo)
    free = list(folders)
    running = []
    try:
        while todo or running:
            while todo and free:
                running.append(Trial(todo.pop(0), free.pop(), package, limit))
            time.sleep(0.05)
            for trial in list(running):
                found = trial.finished()
                if found is not None:
                    running.remove(trial)
                    free.append(trial.folder)
                    yield trial, found
    finally:
        for trial in running:
            trial.close()


def asked(
    mutants,
    folders,
    known,  # What was found before, by fingerprint; new results go into it
    keep,  # Called after each new result
    package='rnnlm',
    limit=limit,
):
    "What was found for each mutant, in their order of trial: what is known already comes first"
    prints = {m: fingerprint(m, folders[0], package) for m in mutants}
    for m in mutants:
        if prints[m] in known:
            yield m, known[prints[m]], ''
    todo = [m for m in mutants if prints[m] not in known]
    for trial, found in trials(todo, folders, package, limit):
        known[prints[trial.mutant]] = dict(found, mutant=str(trial.mutant))
        keep()
        yield trial.mutant, found, trial.said()


def line(
    found,  # As a trial gives it
):
    "What was found, in words"
    took = f'{found["seconds"]:.0f} s'
    if not found['died']:
        return f'SURVIVED ({took})'
    return f'died: {found["kind"]}, {found["test"] or "no test"} ({took})'


def table(
    found,  # What was found, by mutant
):
    "A line a module, the survivors, and the sum"
    rows = Counter(m.module for m in found)
    died = Counter(m.module for m, o in found.items() if o['died'])
    width = max(map(len, rows))
    lines = [f'{module:{width}}  {died[module]:3} of {n:3} died' for module, n in rows.items()]
    for m, o in found.items():
        if not o['died']:
            lines.append(f'SURVIVED  {m}' + (f'  ({m.why})' if m.why else ''))
    n, dead = len(found), sum(died.values())
    asserted = sum(o['kind'] in by_assertion for o in found.values())
    lines.append(
        f'{n} mutants: {dead} died ({100 * dead / n:.0f} %), {asserted} of them by an assertion'
    )
    unexplained = [m for m, o in found.items() if not o['died'] and not m.why]
    return '\n'.join(lines), asserted >= enough * n and not unexplained


def summary(
    found,  # What was found, by mutant
):
    "What the site says of it"
    return dict(
        date=time.strftime('%Y-%m-%d', time.gmtime()),
        python=sys.version.split()[0],
        modules=len({m.module for m in found}),
        tried=len(found),
        died=sum(o['died'] for o in found.values()),
        by_assertion=sum(o['kind'] in by_assertion for o in found.values()),
        survivors={str(m): m.why for m, o in found.items() if not o['died']},
    )


def check(
    mutants,
    root=root,  # Of the repository
    jobs=1,  # Copies of it, and processes
    out=None,  # JSON file that keeps what was found; none by default
    package='rnnlm',
    limit=limit,
    summary_to=None,  # JSON file for what the site says of it; none by default
):
    "Try all mutants and print what was found; the exit status"
    bad = list(misfits(mutants, root, package))
    if bad or not mutants:
        print(*bad or ['There is no such mutant'], sep='\n')
        return 2
    out = out and Path(out)
    known = json.loads(out.read_text(encoding='utf-8')) if out and out.exists() else {}

    def keep():
        if out:
            out.parent.mkdir(parents=True, exist_ok=True)
            part = out.with_name(out.name + '.part')
            part.write_text(json.dumps(known, indent=1) + '\n', encoding='utf-8')
            part.replace(out)

    # without a mistake the same tests have to pass
    bare = dict.fromkeys(Mutant(m.module, '', '', m.tests) for m in mutants)
    with tempfile.TemporaryDirectory(prefix='mutants-') as temporary:
        folders = [copied(root, Path(temporary) / f'copy{i}') for i in range(jobs)]
        print(f'Without a mistake, {len(bare)} selections of tests:')
        broken = 0
        with closing(asked(bare, folders, known, keep, package, limit)) as found:
            for i, (m, one, said) in enumerate(found, 1):
                if one['died']:
                    broken += 1
                    print(f'{m}: FAILS, {line(one)}\n{said}', flush=True)
                elif said:
                    print(f'{i} of {len(bare)}, {m}: passes ({one["seconds"]:.0f} s)', flush=True)
        if broken:
            print(f'{broken} selections of tests fail without any mistake: mend them first')
            return 2
        print(f'With a mistake, {len(mutants)} of them:')
        results = {}
        with closing(asked(mutants, folders, known, keep, package, limit)) as found:
            for i, (m, one, _) in enumerate(found, 1):
                results[m] = one
                print(f'{i} of {len(mutants)}, {m}: {line(one)}', flush=True)
    results = {m: results[m] for m in mutants}
    text, ok = table(results)
    print(text)
    if summary_to:
        summary_to.write_text(json.dumps(summary(results), indent=1) + '\n', encoding='utf-8')
    return 0 if ok else 1


def stop(*args):
    "A polite end is an interrupt, so that no child is left"
    raise KeyboardInterrupt


def main():
    "The command; its exit status"
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--module', help='only the mutants of this one, such as replicate.judge')
    parser.add_argument('--jobs', type=int, default=1, help='at a time')
    kept = root / 'results' / 'mutants.json'
    parser.add_argument('--out', type=Path, default=kept, help='file that keeps what was found')
    options = parser.parse_args()
    # a shell starts what runs in the background deaf to Ctrl-C
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, stop)
    mutants = [m for m in load() if options.module in (None, m.module)]
    warm()
    try:
        summary_to = None if options.module else root / 'docs' / 'mutants.json'
        jobs = max(options.jobs, 1)
        return check(mutants, jobs=jobs, out=options.out, summary_to=summary_to)
    except KeyboardInterrupt:
        print(f'\nInterrupted: what was tried is in {options.out}', file=sys.stderr)
        return 130


if __name__ == '__main__':
    sys.exit(main())
