"""Which kernels, how many threads, which torch bring the tables back? Store the answer.

It needs both environments of make_env.py, and resumes where it was stopped.
"""
import argparse
import subprocess
import sys
from itertools import product
from pathlib import Path

import pandas as pd

from compare import judge, side_by_side
from make_env import DRAFT, PRINTED
from rnnlm.data import human_numbers, tokenize
from run import CHAPTER, DRAFT_TABLES, KERNELS, has_kernels

HERE = Path(__file__).resolve().parent
# torch 1.4.0 with everything, torch 1.3.1 on one thread.
SETTINGS = [(PRINTED, threads) for threads in (1, 2, 4)] + [(DRAFT, 1)]
MADE_WITH = ['torch', 'kernels', 'threads', 'cpu', 'fastai2', 'python', 'date']


def verdicts(runs):
    "A row for each table of one setting"
    for model in runs.model.unique():
        made_with = runs[runs.model == model].iloc[0][MADE_WITH].to_dict()
        found = judge(side_by_side(runs, model))
        rest = ('cpu', 'fastai2', 'python', 'date')
        setting = {k: v for k, v in made_with.items() if k not in rest}
        yield {'table': model, **setting, **found, **{k: made_with[k] for k in rest}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--runs', type=Path, default=HERE.parent / 'results/capsule',
                        help='where runs are kept, default: %(default)s')
    parser.add_argument('--out', type=Path, default=HERE.parent / 'rnnlm/tables/capsule.csv',
                        help='the table of all settings, default: %(default)s')
    args = parser.parse_args()
    args.runs.mkdir(parents=True, exist_ok=True)
    words = args.runs / 'words.txt'
    words.write_text(' '.join(tokenize(human_numbers())) + '\n')
    rows = []
    kernels_here = [o for o in KERNELS if has_kernels(o)]
    for (capsule, threads), kernels in product(SETTINGS, kernels_here):
        path = args.runs / f'torch {capsule.torch}, {kernels}, {threads}.csv'
        if not path.is_file():
            print(f'torch {capsule.torch}, kernels {kernels}, threads {threads}', flush=True)
            command = [capsule.folder / 'bin/python', '-B', '-E', '-s', HERE / 'run.py',
                       '--words', words, '--out', path, '--kernels', kernels,
                       '--threads', threads, '--models', ','.join(CHAPTER + DRAFT_TABLES)]
            if subprocess.run([str(o) for o in command]).returncode:
                sys.exit(1)
        rows += verdicts(pd.read_csv(path, dtype=str))
    table = pd.DataFrame(rows).astype({'first_epoch': 'Int64'})
    table.to_csv(args.out, index=False, float_format='%.6f')
    print(table.pivot(index='table', columns=['torch', 'kernels', 'threads'], values='equal'))


if __name__ == '__main__':
    main()
