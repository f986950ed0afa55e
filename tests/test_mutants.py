"""The list of mutants fits the package, and the runner knows a mutant that nobody notices."""

import ast
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

import mutants
from mutants import Mutant, fingerprint, kind_of, load, misfits, place, table
from processes import call, running, time_limit, wait_for  # noqa: F401

here = Path(__file__).parent
listed = load()
# the others are empty, or made by nbdev
without = ['_modidx', 'replicate.__init__']


def modules():
    "The names of all modules"
    package = mutants.root / 'rnnlm'
    paths = [o.relative_to(package).with_suffix('') for o in package.rglob('*.py')]
    return sorted('.'.join(o.parts) for o in paths)


# the list


def test_each_text_is_in_its_module_once():
    assert list(misfits(listed)) == []


def test_what_does_not_fit_is_said():
    one = Mutant('lstm', 'no such text', 'x', ('test_lstm.py',))
    many = Mutant('lstm', 'self', 'x', ('test_lstm.py',))
    same = Mutant('lstm', 'class LSTMCell', 'class LSTMCell', ('test_lstm.py',))
    gone = Mutant('nowhere', 'x', 'y', ('test_lstm.py',))
    lines = list(misfits([one, many, same, gone]))
    assert len(lines) == 4
    assert lines[0].endswith('`old` occurs 0 times in rnnlm/lstm.py, not once')
    assert 'times in rnnlm/lstm.py, not once' in lines[1]
    assert lines[2].endswith('`new` is `old`')
    assert lines[3].endswith('`old` occurs 0 times in rnnlm/nowhere.py, not once')


def test_each_mutant_is_another_program():
    "Of the same language, and not only another comment or another blank"
    for m in listed:
        text = (mutants.root / place(m.module)).read_text(encoding='utf-8')
        trees = [ast.dump(ast.parse(o)) for o in (text, text.replace(m.old, m.new, 1))]
        assert trees[0] != trees[1], m


def test_tests_that_are_named_exist():
    functions = {}
    for test in {o for m in listed for o in m.tests}:
        name, _, rest = test.partition('::')
        if name not in functions:
            nodes = ast.walk(ast.parse((here / name).read_text(encoding='utf-8')))
            functions[name] = {o.name for o in nodes if isinstance(o, ast.FunctionDef)}
        if rest:
            assert rest.partition('[')[0] in functions[name], test


def test_all_modules_have_mutants():
    counts = Counter(m.module for m in listed)
    assert len(listed) >= 80 and len(set(listed)) == len(listed)
    assert {o: counts[o] for o in modules() if o not in without and counts[o] < 2} == {}
    assert set(counts) <= set(modules())


# what is said


def test_kinds_of_failures():
    said = {
        'assert 1 == 2\n +  where': 'AssertionError',
        'AssertionError: Regex pattern did not match.': 'AssertionError',
        "Failed: DID NOT RAISE <class 'ValueError'>": 'nothing was raised',
        "NameError: name 'x' is not defined": "NameError: name 'x' is not defined",
    }
    assert {o: kind_of(o) for o in said} == said
    many = 'ExceptionGroup: Hypothesis found 2 distinct failures. (2 sub-exceptions)'
    assert kind_of(many, 'E  | AssertionError: assert x') == 'AssertionError'
    assert kind_of('failed on setup with "x"', 'E   KeyError: 1') == 'KeyError: 1'
    assert kind_of('collection failure', 'E   ImportError: x\n') == 'ImportError: x'


@pytest.mark.parametrize(
    'survivors, crashes, why, ok',
    [
        (0, 0, '', True),
        (0, 1, '', True),
        (0, 2, '', False),
        (1, 0, '', False),
        (1, 0, 'it is only slower', True),
        (1, 1, 'it is only slower', False),
    ],
)
def test_the_last_line(survivors, crashes, why, ok):
    "Of 20, 19 have to die by an assertion, and a survivor has to say why"
    found = {}
    for i in range(20):
        died = i >= survivors
        kind = '' if not died else 'KeyError: 1' if i >= 20 - crashes else 'AssertionError'
        m = Mutant('lstm' if i % 2 else 'gru', str(i), '', ('test_lstm.py',), '' if died else why)
        found[m] = dict(died=died, kind=kind, test='', seconds=1)
    text, enough = table(found)
    died, asserted = 20 - survivors, 20 - survivors - crashes
    assert text.splitlines()[-1] == (
        f'20 mutants: {died} died ({5 * died} %), {asserted} of them by an assertion'
    )
    assert enough is ok and text.count('SURVIVED') == survivors
    said = mutants.summary(found)
    assert (said['tried'], said['died'], said['by_assertion']) == (20, died, asserted)
    assert list(said['survivors'].values()) == [why] * survivors and said['modules'] == 2


# the runner, in a package that is made up

code = '''
def add(a, b):
    return a + b


def twice(x):
    if x < 0:
        raise ValueError('x: must be at least 0')
    return 2 * x


def count(n):
    i = 0
    while i < n:
        i += 1
    return i
'''
tests = '''
import os
import pytest
import tiny
from tiny.sums import add, count, twice


def test_add():
    assert os.path.dirname(tiny.__file__) == os.path.join(os.getcwd(), 'tiny')
    with open(os.environ['NOTES'], 'a') as notes:
        print(add(2, 3), file=notes)
    assert add(2, 3) == 5


def test_negative():
    with pytest.raises(ValueError, match='^x: '):
        twice(-1)
    assert twice(0) == 0


def test_count():
    assert count(3) == 3
'''
tried = [
    ('a + b', 'a - b', 'died: AssertionError, test_add ('),
    ('2 * x', '3 * x', 'SURVIVED ('),
    ("raise ValueError('x: must be at least 0')", 'pass', 'died: nothing was raised'),
    ('i += 1', 'i += 0', 'died: hangs: over 12 s, no test ('),
    ('return i\n', 'return j\n', "died: NameError: name 'j' is not defined, test_count ("),
]
runner = '''
import sys
from pathlib import Path

import mutants

every = [mutants.Mutant('sums', *o, ('test_sums.py',)) for o in {each!r}]
root = Path({root!r})
sys.exit(mutants.check(every, root, {jobs}, root / 'out' / 'found.json', 'tiny', {limit}))
'''


@pytest.fixture
def tiny(tmp_path):
    "A repository of one module"
    for name, text in {'tiny/sums.py': code, 'tests/test_sums.py': tests}.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    (tmp_path / 'tiny' / '__init__.py').touch()
    (tmp_path / '.gitignore').write_text('out/\n')
    call('git', 'init', '-q', tmp_path)
    return tmp_path


def command(root, each, jobs=1, limit=12):
    "What tries mutants of `tiny`, as arguments of a process"
    said = runner.format(each=each, root=str(root), jobs=jobs, limit=limit)
    notes = str(root / 'out' / 'notes')
    (root / 'out').mkdir(exist_ok=True)
    env = {**os.environ, 'PYTHONPATH': str(here), 'NOTES': notes}
    return (sys.executable, '-c', said), env


def check(root, each, **kwargs):
    "Try mutants of `tiny`, and what was said"
    args, env = command(root, each, **kwargs)
    return call(*args, env=env)


def notes(root):
    "What the tests have noted"
    return (root / 'out' / 'notes').read_text().split()


def test_the_runner(tiny):
    each = [o[:2] for o in tried]
    before = {o: (tiny / o).read_bytes() for o in ('tiny/sums.py', 'tests/test_sums.py')}
    p = check(tiny, each, jobs=2)
    assert p.returncode == 1, p.stderr
    for old, new, says in tried:
        m = Mutant('sums', old, new, ())
        assert f', {m}: {says}' in p.stdout
    assert p.stdout.splitlines()[-1] == '5 mutants: 4 died (80 %), 2 of them by an assertion'
    assert '1 of 1, sums: as it is, test_sums.py: passes' in p.stdout
    assert {o: (tiny / o).read_bytes() for o in before} == before
    assert len(json.loads((tiny / 'out' / 'found.json').read_text())) == 6
    assert sorted(notes(tiny)) == ['-1'] + ['5'] * 5


def test_what_was_tried_is_not_tried_again(tiny):
    each = [o[:2] for o in tried[:2]]
    check(tiny, each[:1])
    p = check(tiny, each)
    assert p.returncode == 1 and '2 mutants: 1 died (50 %)' in p.stdout
    assert 'passes' not in p.stdout
    assert notes(tiny) == ['5', '-1', '5']
    again = check(tiny, each)
    assert again.returncode == 1 and notes(tiny) == ['5', '-1', '5']
    (tiny / 'tiny' / 'sums.py').write_text(code + '\n')
    assert check(tiny, each[:1]).returncode == 0
    assert notes(tiny) == ['5', '-1', '5'] + ['5', '-1']


def test_a_text_that_is_not_there(tiny):
    p = check(tiny, [('a + b', 'a - b'), ('a * b', 'a - b'), ('i', 'j')])
    assert p.returncode == 2 and not (tiny / 'out' / 'notes').exists()
    first, second = p.stdout.splitlines()
    assert first.endswith('`old` occurs 0 times in tiny/sums.py, not once')
    assert second.endswith('not once')


def test_tests_that_fail_without_a_mistake(tiny):
    (tiny / 'tests' / 'test_sums.py').write_text(tests.replace('== 5', '== 6'))
    p = check(tiny, [tried[0][:2]])
    assert p.returncode == 2
    assert 'sums: as it is, test_sums.py: FAILS, died: AssertionError, test_add' in p.stdout
    assert 'assert 5 == 6' in p.stdout
    assert p.stdout.splitlines()[-1].startswith('1 selections of tests fail without any mistake')


def is_there(pid):
    "Is there such a process, and is it no zombie?"
    try:
        return Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] != 'Z'
    except OSError:
        return False


def test_nobody_is_left_when_it_is_interrupted(tiny):
    "Neither the tests nor what they started"
    waits = """
import os
import subprocess


def test_long():
    child = subprocess.Popen(['sleep', '100'])
    with open(os.environ['NOTES'], 'a') as notes:
        print(os.getpid(), child.pid, file=notes)
    child.wait()
"""
    (tiny / 'tests' / 'test_sums.py').write_text(waits)
    args, env = command(tiny, [tried[0][:2]], limit=100)
    with running(*args, env=env) as p:
        pids = wait_for(lambda: (tiny / 'out' / 'notes').exists() and notes(tiny))
        assert len(pids) == 2 and all(map(is_there, pids))
        p.send_signal(signal.SIGINT)
        assert p.wait(timeout=30) != 0
        wait_for(lambda: not any(map(is_there, pids)), 30)


def test_a_fingerprint(tiny):
    "Another mutant, another module or other tests are tried anew"
    m = Mutant('sums', 'a + b', 'a - b', ('test_sums.py::test_add',))
    first = fingerprint(m, tiny, 'tiny')
    assert first == fingerprint(m, tiny, 'tiny')
    other = Mutant('sums', 'a + b', 'a * b', m.tests)
    seen = {first, fingerprint(other, tiny, 'tiny')}
    for name in ('tiny/sums.py', 'tests/test_sums.py'):
        (tiny / name).write_text((tiny / name).read_text() + '\n')
        seen.add(fingerprint(m, tiny, 'tiny'))
    assert len(seen) == 4
