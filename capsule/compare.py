"""Print the tables of early 2020 beside those that run.py recomputed, and count equal numbers."""

import argparse
import sys
from importlib.resources import files
from pathlib import Path

import pandas as pd

CURVES = ['train_loss', 'valid_loss', 'accuracy']
TITLES = {'LMModel4': 'Table 0', 'LMModel5': 'Table 1', 'LMModel6': 'Table 2'}


def printed_tables():
    """The book's tables and those of its draft, every number as it is printed.

    The draft's are those of the public repository fastai/book_nbs at its commit b58fa4f.
    """
    paths = [files('rnnlm') / 'tables/published.csv', Path(__file__).with_name('draft.csv')]
    tables = [pd.read_csv(str(path), dtype=str) for path in paths]
    return pd.concat(tables)[['model', 'epoch', *CURVES]]


def side_by_side(
    runs: pd.DataFrame,  # Rows of run.py, numbers as text
    model: str,  # Which of them
) -> pd.DataFrame:  # A row an epoch: `train_loss` and so on, `new_train_loss` and so on
    "A printed table and the same rows recomputed, empty where there are none"
    printed = printed_tables().query('model == @model').drop(columns='model')
    rows = runs.query('model == @model')[['epoch', *CURVES]]
    rows = rows.rename(columns={o: f'new_{o}' for o in CURVES})
    return printed.merge(rows, on='epoch', how='left').fillna('').set_index('epoch')


def judge(
    table: pd.DataFrame,  # From `side_by_side`
) -> dict:  # `equal` numbers out of `numbers`; `first_epoch` that differs; `largest_difference`
    "How much of a table came back"
    printed = table[CURVES]
    recomputed = table[[f'new_{o}' for o in CURVES]].set_axis(CURVES, axis=1)
    equal = printed == recomputed
    apart = (printed.astype(float) - recomputed.apply(pd.to_numeric)).abs()
    differing = equal.index[~equal.all(axis=1)]
    return dict(
        equal=int(equal.to_numpy().sum()),
        numbers=equal.size,
        first_epoch=int(differing[0]) if len(differing) else None,
        largest_difference=round(float(apart.max(axis=None)), 6),
    )


def show(
    model: str,  # Of the rows
    how: pd.Series,  # One of its rows of run.py
    table: pd.DataFrame,  # From `side_by_side`
    verdict: dict,  # From `judge`
):
    "Print a table and what came of it"
    print(
        f'\n{TITLES.get(model, "Table")}, {model}: torch {how.torch}, MKL kernels '
        f'{how.kernels}, threads {how.threads}'
    )
    print(f'{"":8}{"printed":34}recomputed')
    print('epoch' + ''.join(f'{o:>12}' for o in CURVES * 2))
    for epoch, *numbers in table.itertuples():
        print(f'{epoch:>5}' + ''.join(f'{o:>12}' for o in numbers))
    print(
        '{equal} of {numbers} numbers equal in every printed digit, largest difference '
        '{largest_difference:.6f}'.format(**verdict)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('runs', type=Path, help='the CSV file that run.py wrote')
    path = parser.parse_args().runs
    if not path.is_file():
        parser.error(f'runs: there is no file {path}')
    runs = pd.read_csv(path, dtype=str)
    equal = 0
    numbers = 0
    for model in runs.model.unique():
        table = side_by_side(runs, model)
        verdict = judge(table)
        show(model, runs[runs.model == model].iloc[0], table, verdict)
        equal += verdict['equal']
        numbers += verdict['numbers']
    how = runs.iloc[0]
    print(f'\nfastai2 {how.fastai2}, Python {how.python}, processor: {how.cpu}')
    if equal < numbers:
        print('What other kernels, threads and versions give: rnnlm/tables/capsule.csv')
    print(f'{equal} of {numbers} printed numbers, to the last digit')
    sys.exit(equal < numbers)


if __name__ == '__main__':
    main()
