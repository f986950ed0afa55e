"""Make what the page "Explore the seeds" loads: the accuracies of our 200 seeds of each model, and
the printed ones, in a script, since a page from a disk may read no other files. `--check` makes it
in memory and compares it with what is committed."""

import argparse
import json
import sys
from pathlib import Path

path = Path(__file__).parent.parent / '_static/seeds_data.js'
models = ('LMModel4', 'LMModel5', 'LMModel6', 'LMModel7')
# The validation set has so many words. How many of them are right is a whole number, shorter than
# the accuracy and exact, so that two runs are a tie in the browser when they are one in Python.
words = 12288


def seeds(model):
    "For each seed the number of right words, an epoch after the other; the printed accuracies"
    from rnnlm.tables import published, reference

    runs = reference(model).pivot(index='seed', columns='epoch', values='accuracy')
    right = (runs * words).round()
    if abs(right / words - runs).to_numpy().max() > 1e-9:
        raise ValueError(f'{model}: not all accuracies are so many of {words} words')
    first = int(runs.index[0])
    # the page numbers them by their place
    if list(runs.index) != list(range(first, first + len(runs))):
        raise ValueError(f'{model}: seeds are missing')
    printed = published(model).accuracy.round(4).tolist()
    return dict(first=first, printed=printed, right=right.astype(int).to_numpy().tolist())


def made():
    "The script's bytes"
    data = dict(words=words, models={m: seeds(m) for m in models})
    value = json.dumps(data, separators=(',', ':'))
    what = '// Made by docs/seeds/build.py: right words of each seed and epoch, printed accuracies.'
    return f'{what}\nglobalThis.SEEDS_DATA = {value};\n'.encode()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='write nothing; 1 if it differs')
    check = parser.parse_args().check
    data = made()
    if not path.exists() or path.read_bytes() != data:
        if check:
            print(f'{path.name} is not what docs/seeds/build.py makes; run it and commit that')
            return 1
        path.write_bytes(data)
    print(f'{path.name} {len(data):,} bytes')
    return 0


if __name__ == '__main__':
    sys.exit(main())
