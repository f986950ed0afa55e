"""The package as a stranger installs it: built, checked, put into an environment of its own without
the tools of development, and used from another folder.

    python tests/package.py                             with the newest versions that it allows
    python tests/package.py --resolution lowest-direct  with the oldest ones
    python tests/package.py --python 3.13               on another Python
    python tests/package.py --build-only                built and checked, not used
"""

import argparse
import functools
import os
import subprocess
import sys
import tempfile
from configparser import ConfigParser
from pathlib import Path

root, bin = Path(__file__).parent.parent, Path(sys.executable).parent
# what is found here has to come from the wheel, with its tables, its commands and its names
program = """
import sys, rnnlm
from importlib.metadata import version
assert 'torch' not in sys.modules
import torch
h, (h_n, c_n) = rnnlm.LSTM(3, 5)(torch.zeros(2, 4, 3))
assert h.shape == (2, 4, 5)
assert len(rnnlm.reference('LMModel7')) == 200*15
print('Python', sys.version.split()[0], *(f'{o} {version(o)}' for o in
      ('torch', 'fastai', 'fastcore', 'numpy', 'pandas', 'scipy', 'matplotlib')))
"""


def run(*command, folder=None, env=None):
    "A command's output; with another status than 0 all ends"
    done = subprocess.run(
        command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        sys.exit(f'{" ".join(map(str, command))} ended with {done.returncode}:\n{done.stdout}')
    return done.stdout


def main():
    as_it_is = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_it_is)
    parser.add_argument('--resolution', default='highest', choices=['highest', 'lowest-direct'])
    parser.add_argument('--python', default=sys.executable)
    parser.add_argument('--build-only', action='store_true')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        run(sys.executable, '-m', 'build', '-o', here / 'dist', root)
        made = sorted((here / 'dist').iterdir())
        print(*(f'{o.name} {o.stat().st_size/2**20:.1f} MiB' for o in made), sep=', ')
        run(bin / 'twine', 'check', '--strict', *made)
        if options.build_only:
            return
        links = os.environ.get('UV_FIND_LINKS') or os.environ.get('PIP_FIND_LINKS', '')
        env = {**os.environ, 'UV_FIND_LINKS': links.replace(' ', ',')}
        env.pop('PYTHONPATH', None)
        uv = bin/'uv'
        run(uv, 'venv', '-q', '--python', options.python, here / 'env', env=env)
        wheel = next(o for o in made if o.suffix == '.whl')
        install = [uv, 'pip', 'install', '-q', '--python', here / 'env/bin/python']
        # the bounds have to stand on the command line: only those are "direct" for uv
        cfg = ConfigParser(delimiters=['='])
        cfg.read(root / 'settings.ini', encoding='utf-8')
        bounds = cfg['DEFAULT']['requirements'].split()
        install += ['--resolution', options.resolution, wheel, *bounds]
        # PyTorch's own index is not always within reach
        cpu = subprocess.run([*install, '--torch-backend=cpu'], env=env, capture_output=True)
        if cpu.returncode:
            run(*install, env=env)
        scripts = here / 'env/bin'
        used = functools.partial(run, folder=here, env=env)
        print(used(scripts / 'python', '-W', 'ignore', '-c', program), end='')
        options = ['--models', 'LMModel5', '--seeds', '1', '--first-seed', '1000']
        said = used(scripts / 'rnnlm_reproduce', *options, '--out', here / 'results')
        print(next(o for o in said.splitlines() if 'LMModel5' in o))
        said = used(scripts / 'rnnlm_generate', 'one thousand')
        print(said.strip().splitlines()[-1])


if __name__ == '__main__':
    main()
