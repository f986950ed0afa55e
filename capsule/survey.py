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
# Environment, kernels, threads, tables; the draft's first table was made with six threads.
SETTINGS = [
    (PRINTED, kernels, threads, CHAPTER) for threads, kernels in product((1, 2, 4), KERNELS)
]
SETTINGS += [(DRAFT, kernels, 1, DRAFT_TABLES) for kernels in KERNELS]
SETTINGS += [(DRAFT, 'avx2', 6, DRAFT_TABLES)]
# The other way round: each torch with the tables that were made with the other one.
SETTINGS += [(PRINTED, 'avx2', 1, DRAFT_TABLES), (DRAFT, 'avx2', 1, CHAPTER)]
SETTING = ['torch', 'kernels', 'threads']
ORIGIN = ['cpu', 'fastai2', 'python', 'date']


def verdicts(
    runs: pd.DataFrame,  # Rows of run.py, numbers as text
):  # A dict for each of their tables
    "How much of each table came back, and what it was made with"
    for model in runs.model.unique():
        first = runs[runs.model == model].iloc[0]
        verdict = judge(side_by_side(runs, model))
        yield {'model': model, **first[SETTING], **verdict, **first[ORIGIN]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--runs',
        type=Path,
        default=HERE.parent / 'results/capsule',
        help='where runs are kept, default: %(default)s',
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=HERE.parent / 'rnnlm/tables/capsule.csv',
        help='the table of all settings, default: %(default)s',
    )
    args = parser.parse_args()
    args.runs.mkdir(parents=True, exist_ok=True)
    words = args.runs / 'words.txt'
    words.write_text(' '.join(tokenize(human_numbers())) + '\n')
    rows = []
    for capsule, kernels, threads, tables in SETTINGS:
        if not has_kernels(kernels):
            continue
        of = 'book' if tables is CHAPTER else 'draft'
        name = f'{of}, torch {capsule.torch}, {kernels}, {threads} threads'
        path = args.runs / f'{name}.csv'
        if not path.is_file():
            print(name, flush=True)
            command = [
                capsule.folder / 'bin/python',
                '-B',
                '-E',
                '-s',
                HERE / 'run.py',
                '--words',
                words,
                '--out',
                path,
                '--kernels',
                kernels,
                '--threads',
                threads,
                '--models',
                ','.join(tables),
            ]
            if subprocess.run([str(o) for o in command]).returncode:
                sys.exit(1)
        rows += verdicts(pd.read_csv(path, dtype=str))
    table = pd.DataFrame(rows).astype({'first_epoch': 'Int64'})
    table.to_csv(args.out, index=False, float_format='%.6f')
    print(table[['model', *SETTING, 'equal', 'first_epoch']].to_string(index=False))


if __name__ == '__main__':
    main()
