"""The gate against drift can fail: every kind of drift is reported, and what may vary is not."""

import base64
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_notebook, new_output

from drift import check, drift
from processes import running, wait_for


def printed(text, name='stdout'):
    return new_output('stream', name=name, text=text)


def result(data, kind='text/plain'):
    return new_output('execute_result', {kind: data})


def differ(was, now, how=None):
    "What `drift` says of two outputs, or lists of outputs, of one cell"
    source = f'#| drift: {how}\nf()' if how else '#| fig-alt: none\nf()'
    return '\n'.join(
        drift(
            *(new_code_cell(source, outputs=o if isinstance(o, list) else [o]) for o in (was, now))
        )
    )


exact = [
    ('loss 0.51', 'loss 0.52'),
    ('better', 'worse'),
    ('1', '1.0'),
    ('a  b', 'a b'),
    ('LMModel5', 'LMModel6'),
]
same_words = [
    ('loss 0.51 at epoch 3.', 'loss -12 at epoch 10.'),
    ('[ 0.5 -0.3]', '[-0.5  0.3]'),
    ('p = 1e-05', 'p = nan'),
    ('1,234 of 5,000', '7 of 50'),
    ('by +0.023 (95 % interval -0.011 to +0.058)', 'by −1.1 (95 % interval 10 to 2e+03)'),
    ('torch 2.13.0, 61 s', 'torch 2.6, 0.5 s'),
    ('model  loss\n a    0.5\n b   10.25', 'model      loss\n a    -100.5\n b       nan'),
]
other_words = [
    ('better by 0.085', 'worse by 0.085'),
    ('LMModel5 0.5', 'LMModel6 0.5'),
    ('0.5 True', '0.5 False'),
    ('1 2', '1 2 3'),
    ('1 s', '1 ms'),
    ('1', 'none'),
    ('information', 'nanformation'),
    ('a 1\nb 2', 'a 1'),
]


@pytest.mark.parametrize('was, now', exact)
def test_exactly_the_same_text(was, now):
    for output in (printed, result):
        assert not differ(output(was), output(was))
        assert f'-{was}\n+{now}' in differ(output(was), output(now))


@pytest.mark.parametrize('was, now', same_words)
def test_other_numbers_are_only_allowed_where_they_are_expected(was, now):
    assert not differ(printed(was), printed(now), 'numbers')
    assert differ(printed(was), printed(now))


@pytest.mark.parametrize('was, now', other_words)
def test_other_words_beside_numbers(was, now):
    assert differ(printed(was), printed(now), 'numbers')


def test_what_is_never_compared():
    assert not differ(result('<f at 0x7f01>'), result('<f at 0x7fab>'))
    assert not differ(result('<f>'), result('<f at 0x7fab>'))  # nbdev_clean removes it
    assert not differ(
        result('<style>a</style><td>00:01</td>', 'text/html'),
        result('<style>b</style><td>01:10</td>', 'text/html'),
    )
    assert not differ(
        printed('1'), [printed('50%', 'stderr'), printed('1'), printed('100%', 'stderr')]
    )
    assert not differ(
        printed('1\n2\n'), [printed('1\n'), printed('2\n')]
    )  # one print may arrive in two pieces


def test_outputs_that_come_or_go():
    for how in (None, 'numbers'):
        assert '-[stdout]' in differ(printed('1'), [], how)
        assert '+[stdout]' in differ(result('1'), [printed('1'), result('1')], how)
        assert '-[text/plain]\n+[text/html]' in differ(result('1'), result('1', 'text/html'), how)


def test_a_directive_that_is_none():
    assert "'nubmers' is unknown" in differ(printed('1'), printed('1'), 'nubmers')


def figure(label='loss 0.51', end=1.0, kind='png', by=None):
    fig = Figure(figsize=(4, 2))
    ax = fig.subplots()
    ax.plot([0, end])
    ax.set(ylim=(0, 1), title=label)
    fig.savefig(
        buf := io.BytesIO(),
        format=kind,
        metadata=by and {'Software' if kind == 'png' else 'Title': by},
    )
    return (
        result(base64.b64encode(buf.getvalue()).decode(), 'image/png')
        if kind == 'png'
        else result(buf.getvalue().decode(), 'image/svg+xml')
    )


@pytest.mark.parametrize('kind', ['png', 'svg'])
def test_pictures(kind):
    assert not differ(figure(kind=kind), figure(kind=kind))
    for changed in (figure('loss 0.52', kind=kind), figure(end=0.9, kind=kind)):
        assert 'are others' in differ(figure(kind=kind), changed)
        assert not differ(figure(kind=kind), changed, 'numbers')
    assert differ(figure(kind=kind), [], 'numbers')


def test_vectors_may_be_rounded_in_another_way():
    "A millionth of a point is nobody's figure; a tenth, another letter or colour is"
    drawn = '<path d="M 1.5 2.000001\nL 30 4" style="fill: #98101a"/><text x="1">0.51</text>'
    for old, new, same in [
        ('2.000001', '2.000002', True),
        ('L 30', 'L 30.1', False),
        ('0.51', '0.511', False),
        ('98101a', '98101b', False),
        ('98101a', '98111a', False),
    ]:
        changed = result(drawn.replace(old, new), 'image/svg+xml')
        assert bool(differ(result(drawn, 'image/svg+xml'), changed)) is not same, new


def test_pictures_of_another_matplotlib_are_not_compared():
    assert not differ(figure(by='Matplotlib version3.8.0'), figure('loss 0.52'))


def notebook(path, *cells):
    nbformat.write(
        new_notebook(
            cells=[new_code_cell(source, outputs=list(outputs)) for source, *outputs in cells]
        ),
        path,
    )
    return path


def gate(path):
    return subprocess.run(
        [sys.executable, Path(__file__).parent / 'drift.py', path],
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_notebook_that_is_as_stored(tmp_path):
    path = notebook(
        tmp_path / 'ok.ipynb',
        ('import os, sys; x = 1; x', result('1')),
        (
            'print(os.path.basename(os.getcwd()), sys.executable)',
            printed(f'{tmp_path.name} {sys.executable}\n'),
        ),
        ('#| eval: false\n1/0', printed('not run')),
        ('import nbdev; nbdev.nbdev_export(); 1/0',),
        ('#| drift: numbers\nimport time; time.time()', result('5.5')),
    )
    before = path.read_bytes()
    p = gate(path)
    assert (p.returncode, p.stdout.strip(), p.stderr.strip()) == (0, '', '')
    assert path.read_bytes() == before


def test_drift_and_an_error(tmp_path):
    path = notebook(
        tmp_path / 'bad.ipynb',
        ('x = 1; x', result('2')),
        ('print("never stored")',),
        ('#| hide\ny = 0\nx/y', result('3')),
        ('raise SystemError("not reached")',),
    )
    p = gate(path)
    assert p.returncode == 1 and '\x1b' not in p.stdout and 'not reached' not in p.stdout
    drifted, added, failed = p.stdout.strip().split('\n\n', 2)
    assert drifted.startswith(f'{path}, cell 0 drifts:\n    x = 1; x\n') and drifted.endswith(
        '-2\n+1'
    )
    assert 'cell 1 drifts:' in added and '+never stored' in added
    assert f'{path}, cell 2 fails:\n    y = 0\n    x/y\n' in failed and failed.endswith(
        'ZeroDivisionError: division by zero'
    )


def test_a_notebook_without_outputs(tmp_path):
    assert check(notebook(tmp_path / 'bare.ipynb', ('1+1',), ('2+2',))) == [
        f"{tmp_path / 'bare.ipynb'}: no outputs are stored; `make notebooks` stores them"
    ]


def test_a_kernel_that_dies(tmp_path):
    (said,) = check(notebook(tmp_path / 'dies.ipynb', ('import os',), ('os._exit(1)',), ('2',)))
    assert 'cell 1 fails:' in said and said.endswith('the kernel died')


def test_a_cell_that_never_ends(tmp_path, monkeypatch):
    monkeypatch.setattr('drift.limit', 2)
    start = time.time()
    (said,) = check(notebook(tmp_path / 'hangs.ipynb', ('import time; time.sleep(600)',), ('2',)))
    assert 'cell 0 fails:' in said and said.endswith('it takes longer than 2 s')
    assert time.time() - start < 60


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_kernel_ends_with_who_asked_for_it(tmp_path):
    "Even if that one is killed, and can't clean up"
    code = 'import os, pathlib, time; pathlib.Path("pid").write_text(str(os.getpid()))'
    path = notebook(tmp_path / 'long.ipynb', (f'{code}; time.sleep(600)',))
    with running(sys.executable, Path(__file__).parent / 'drift.py', path) as p:
        pid = int(wait_for(lambda: (tmp_path / 'pid').exists() and (tmp_path / 'pid').read_text()))
        assert alive(pid)
        os.kill(p.pid, signal.SIGKILL)
        wait_for(lambda: not alive(pid), 30)


@pytest.mark.parametrize('end', ['1', 'import os; os._exit(1)'])
def test_processes_that_a_notebook_leaves_behind(tmp_path, end):
    left = (
        'import pathlib, subprocess, sys\n'
        'sleep = [sys.executable, "-c", "import time; time.sleep(600)"]\n'
        'pathlib.Path("pid").write_text(str(subprocess.Popen(sleep).pid))\n'
    )
    start = time.time()
    assert len(check(notebook(tmp_path / 'left.ipynb', (left + end, result('1'))))) == (end != '1')
    while alive(int((tmp_path / 'pid').read_text())):
        assert time.time() - start < 60
        time.sleep(0.1)
