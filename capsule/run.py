"""Train the chapter's models with torch and fastai2 of early 2020, and store their tables.

It runs in an environment that make_env.py makes: .venv-capsule/bin/python capsule/run.py --help
"""

import argparse
import csv
import os
import platform
import re
import sys
import time
from datetime import date
from pathlib import Path

# How to ask MKL for its kernels: the first variable works on AMD's processors too, where MKL
# would take its slowest ones; the second is the documented one, and MKL heeds it on Intel's.
KERNELS = {
    'default': {},
    'avx2': {'MKL_DEBUG_CPU_TYPE': '5', 'MKL_ENABLE_INSTRUCTIONS': 'AVX2'},
    'avx512': {'MKL_DEBUG_CPU_TYPE': '7', 'MKL_ENABLE_INSTRUCTIONS': 'AVX512'},
}
# What the processor has to know, as Linux names it.
FLAGS = {'avx2': 'avx2', 'avx512': 'avx512f'}
CHAPTER = ['LMModel4', 'LMModel5', 'LMModel6']
DRAFT_TABLES = ['draft LMModel4', 'draft LMModel5', 'draft LMModel6', 'draft LMModel7']
COLUMNS = [
    'model',
    'epoch',
    'train_loss',
    'valid_loss',
    'accuracy',
    'kernels',
    'threads',
    'cpu',
    'torch',
    'fastai2',
    'python',
    'date',
]


def options():
    "What the command line asks for"
    known = ', '.join(CHAPTER + DRAFT_TABLES)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--words',
        type=Path,
        required=True,
        help='the corpus: a file of words with white space between them',
    )
    parser.add_argument(
        '--out', type=Path, required=True, help='where the rows go, as CSV, once all are there'
    )
    parser.add_argument(
        '--models',
        default=','.join(CHAPTER),
        help=f'with commas, of: {known}; default: %(default)s',
    )
    parser.add_argument(
        '--kernels',
        choices=list(KERNELS),
        default='avx2',
        help='which code MKL runs, default: %(default)s',
    )
    parser.add_argument(
        '--threads', type=int, help='default: as many as the table was made with, 1 or 6'
    )
    parser.add_argument(
        '--epochs',
        type=int,
        default=15,
        help='default: %(default)s; any other number is another schedule, and changes every row',
    )
    args = parser.parse_args()
    args.models = args.models.split(',')
    for model in args.models:
        if model not in CHAPTER + DRAFT_TABLES:
            parser.error(f'--models: {model!r} is unknown; there are {known}')
    for name in ('threads', 'epochs'):
        if getattr(args, name) not in (None, *range(1, 1000)):
            parser.error(f'--{name}: must be from 1 to 999, not {getattr(args, name)}')
    if not args.words.is_file():
        parser.error(f'--words: there is no file {args.words}')
    if not has_kernels(args.kernels):
        parser.error(f'--kernels: this processor does not know {args.kernels}')
    return args


def cpuinfo():
    "What Linux says about the first processor"
    text = Path('/proc/cpuinfo').read_text().split('\n\n')[0]
    return dict(re.findall(r'^(.*?)\s*: (.*)$', text, re.M))


def has_kernels(
    kernels,  # One of `KERNELS`
):
    "Does this processor know the instructions that `kernels` consist of?"
    return kernels not in FLAGS or FLAGS[kernels] in cpuinfo()['flags'].split()


def set_up(
    kernels,  # One of `KERNELS`
):
    "The environment that torch and MKL read while they are loaded, so this has to come first"
    if 'torch' in sys.modules:
        raise RuntimeError('torch is loaded already, and has read its environment')
    for name in list(os.environ):
        if name.startswith(('MKL_', 'OMP_', 'KMP_', 'GOMP_', 'ATEN_')):
            del os.environ[name]
    os.environ.update(KERNELS[kernels])
    # A thread that waits leaves its core to others.
    os.environ['OMP_WAIT_POLICY'] = 'PASSIVE'
    # fastai2 would take a GPU where there is one. The tables were made without.
    os.environ['CUDA_VISIBLE_DEVICES'] = ''


def main():
    args = options()
    set_up(args.kernels)
    # These load torch.
    import fastai2
    import torch
    from models import TABLES, fit

    cpu = '{model name}, family {cpu family}, model {model}'.format(**cpuinfo())
    made_with = [
        cpu,
        torch.__version__,
        fastai2.__version__,
        platform.python_version(),
        date.today().isoformat(),
    ]
    words = args.words.read_text().split()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    part = args.out.with_name(args.out.name + '.part')
    with part.open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for model in args.models:
            table = TABLES[model]
            threads = args.threads or table.threads
            start = time.time()

            def report(epoch, *numbers):
                numbers = [f'{o:.6f}' for o in numbers]
                setting = [args.kernels, threads] + made_with
                writer.writerow([model, epoch] + numbers + setting)
                print(
                    f'{model}  epoch {epoch:2}  {"  ".join(numbers)}  {time.time() - start:3.0f} s',
                    flush=True,
                )

            fit(table, words, args.epochs, threads, report)
    # Half a table is never taken for a whole one.
    os.replace(part, args.out)


if __name__ == '__main__':
    main()
