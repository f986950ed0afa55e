"""What was tried to break the module, counted, and how long it takes to begin: tables in
docs/checks.md, which this writes anew.

Properties and bad calls are counted in their lists, faults by pytest as it collects them, and
mutants in docs/mutants.json, which `make mutants` writes. That nothing was lost is what the tests
assert, each for its own case; `make test` runs them all."""

import contextlib
import io
import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from properties import max_examples, properties

root = Path(__file__).parent.parent
page = root / 'docs' / 'checks.md'
begin, end = '<!-- tried: written by tests/tried.py -->\n', '<!-- /tried -->\n'


class Faults:
    "A plugin of pytest that keeps what it collects"

    def pytest_collection_modifyitems(self, items):
        self.n = sum(o.get_closest_marker('fault') is not None for o in items)


def faults():
    "How many tests do something bad to a run: kill, fill, lock, cut off"
    counter = Faults()
    with contextlib.redirect_stdout(io.StringIO()):
        files = [str(root / 'tests' / f'test_{o}.py') for o in ('command', 'engine', 'faults')]
        status = pytest.main(['--collect-only', '-q', '-p', 'no:cacheprovider', *files], [counter])
    assert status == 0, 'the tests can not be collected'
    return counter.n


def rows():
    "What was tried, how much of it, and what was lost"
    listed = yaml.safe_load((root / 'tests' / 'bad_calls.yaml').read_text(encoding='utf-8'))
    functions = [o for module in listed.values() for o in module.values()]
    bad = sum(len(o['bad']) for o in functions)
    found = json.loads((root / 'docs' / 'mutants.json').read_text(encoding='utf-8'))
    n = len(properties())
    yield (
        f'random examples: {n} properties, {max_examples} of each',
        f'{n * max_examples:,}',
        'nothing: each property was true of all of them',
    )
    yield (
        'faults: killed, stopped, full, locked, read-only, torn, offline, in each other’s way',
        faults(),
        'nothing: each finished run was there afterwards',
    )
    yield (
        f'bad calls of {len(functions)} functions and commands, each answered by one line',
        bad,
        'nothing: no file was written or changed',
    )
    yield (
        f'mutants, that is mistakes made on purpose, in all {found["modules"]} modules '
        f'({found["date"]}): {found["by_assertion"]} died by an assertion, '
        f'{found["tried"] - found["died"]} survived',
        found['tried'],
        'nothing: they were made in copies',
    )


def times():
    "A sentence on the way from a fresh clone to the verdict, as `make from_nothing` timed it"
    found = pd.read_csv(root / 'docs' / 'from_nothing.csv')
    both = found.installing + found.to_the_verdict
    median = both.groupby(found.installed_by).median()
    said = ', '.join(f'{o:.0f} s installed by {name}' for name, o in median.items())
    return (
        f'From a fresh clone to the verdict, with empty caches, side by side on a busy machine: '
        f'{said}. So uv takes {median["uv"] / median["pip"]:.2f} of the time of pip.'
    )


def written(text):
    "The page with today's table"
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    lines = ['| what was tried | how many | what was lost |', '|---|---:|---|']
    lines += [f'| {what} | {n} | {lost} |' for what, n, lost in rows()]
    return head + begin + '\n' + '\n'.join([*lines, '', times()]) + '\n\n' + end + tail


if __name__ == '__main__':
    page.write_text(written(page.read_text(encoding='utf-8')), encoding='utf-8')
