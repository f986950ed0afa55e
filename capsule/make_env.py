"""Make the environment of February 2020 in .venv-capsule: Python 3.8, torch 1.4.0, fastai2 0.0.11.

With --draft the one of the authors' draft, in .venv-capsule-draft: Python 3.7 and torch 1.3.1.
Any Python 3 runs this. A complete environment is left alone, any other is begun again.
"""

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCK = HERE / 'requirements.txt'
FASTAI2 = '0.0.11'


class Capsule:
    "What distinguishes the two environments"

    def __init__(
        self,
        folder,  # At the top of the repository
        python,  # Its version of Python, such as `3.8`
        torch,  # Its version of torch
        variable,  # The environment variable that names a Python to use
        source,  # Where to get that Python
    ):
        self.folder = HERE.parent / folder
        self.python = python
        self.torch = torch
        self.variable = variable
        self.source = source


PRINTED = Capsule(
    '.venv-capsule',
    '3.8',
    '1.4.0',
    'CAPSULE_PYTHON',
    'uv python install 3.8, pyenv install 3.8, or apt install python3.8-venv',
)
DRAFT = Capsule(
    '.venv-capsule-draft',
    '3.7',
    '1.3.1',
    'CAPSULE_DRAFT_PYTHON',
    'pyenv install 3.7, conda create -n py37 python=3.7, or apt install python3.7-venv',
)


def stop(message, status):
    "End with one line"
    print(message, file=sys.stderr)
    sys.exit(status)


def output(*command):
    "What a command prints, or nothing if it fails or hangs"
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        return ''
    return done.stdout.decode(errors='replace').strip() if done.returncode == 0 else ''


def works(
    python,  # A command or path
    version,  # Such as `3.8`
):
    "Does `python` run, is it of that version, and can it make an environment?"
    code = 'import ensurepip, sys, venv; print("%d.%d" % sys.version_info[:2])'
    return output(python, '-I', '-c', code) == version


def find_python(capsule):
    "A Python of the right version, from its variable, the PATH, uv or pyenv"
    version = capsule.python
    named = os.environ.get(capsule.variable)
    if named:
        named = os.path.expanduser(named)
        if works(named, version):
            return named
        stop(
            f'{capsule.variable}: {named} is not a Python {version} that runs and has the '
            'modules venv and ensurepip',
            2,
        )
    # Not the first one only: pyenv puts a stand-in on the PATH that may not run.
    folders = os.environ.get('PATH', os.defpath).split(os.pathsep)
    candidates = [os.path.join(folder, f'python{version}') for folder in folders if folder]
    candidates = [o for o in candidates if os.access(o, os.X_OK)]
    if shutil.which('uv'):
        candidates.append(output('uv', 'python', 'find', version))
    if shutil.which('pyenv'):
        candidates.append(os.path.join(output('pyenv', 'prefix', version), 'bin/python'))
    for candidate in candidates:
        if works(candidate, version):
            return candidate
    stop(
        f'Python {version} was not found: get it ({capsule.source}) or name it '
        f'({capsule.variable}=/path/to/python{version})',
        2,
    )


def environment():
    "Ours, without what would lead a Python astray"
    astray = ('PYTHONHOME', 'PYTHONPATH', 'PIP_USER', 'PIP_TARGET', 'PIP_PREFIX')
    return {k: v for k, v in os.environ.items() if k not in astray}


def make(capsule):
    "Make an environment unless it is complete"
    folder = capsule.folder
    lock = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    mark = folder / '.complete'
    if mark.is_file() and mark.read_text() == lock and works(folder / 'bin/python', capsule.python):
        return
    if sys.platform != 'linux' or platform.machine() != 'x86_64':
        stop(
            'The capsule holds binaries for Linux on an x86-64 processor: run it on such a machine',
            2,
        )
    if folder.exists() and any(folder.iterdir()) and not (folder / 'pyvenv.cfg').exists():
        stop(f'{folder} is in the way, and no environment of ours: move it away', 2)
    python = find_python(capsule)
    print(
        f'Making {folder.name}: Python {capsule.python}, torch {capsule.torch}, fastai2 '
        f'{FASTAI2} (830 MB to fetch, 1.6 GB on disk; one to three minutes) …',
        flush=True,
    )
    run = dict(env=environment(), stdin=subprocess.DEVNULL)
    inside = str(folder / 'bin/python')
    try:
        subprocess.run([python, '-m', 'venv', '--clear', str(folder)], check=True, **run)
        subprocess.run(
            [
                inside,
                '-m',
                'pip',
                'install',
                '-q',
                '--disable-pip-version-check',
                '--no-input',
                '--no-deps',
                '--require-hashes',
                '--only-binary',
                ':all:',
                '-r',
                str(LOCK),
            ],
            check=True,
            **run,
        )
    except subprocess.CalledProcessError as error:
        stop(
            f'{folder.name} could not be made (status {error.returncode}, see above); '
            'the next call begins again',
            1,
        )
    except KeyboardInterrupt:
        stop(f'\n{folder.name} is not complete; the next call begins again', 130)
    code = 'import fastai2, torch; print(torch.__version__, fastai2.__version__)'
    found = output(inside, '-I', '-c', code)
    if found != f'{capsule.torch} {FASTAI2}':
        stop(
            f'{folder.name} has {found or "no torch that imports"} instead of '
            f'{capsule.torch} {FASTAI2}',
            1,
        )
    mark.write_text(lock)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--draft', action='store_true', help="the environment of the authors' draft instead"
    )
    make(DRAFT if parser.parse_args().draft else PRINTED)
