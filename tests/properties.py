"""How often a property is tried: every test that is decorated by `given` takes its settings here.

The examples are the same in each run, so that a push fails for what it changes, and for nothing
else. `python tests/properties.py` counts the properties and the examples that are asked for."""

import ast
from pathlib import Path

from hypothesis import HealthCheck, settings

max_examples = 200  # of each property

often = settings(
    max_examples=max_examples,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def properties():
    "The names of all properties, as pytest takes them: `test_data.py::test_group_chunks`"
    names = []
    for path in sorted(Path(__file__).parent.glob('test_*.py')):
        for test in ast.parse(path.read_text(encoding='utf-8')).body:
            if 'given(' in ' '.join(map(ast.unparse, getattr(test, 'decorator_list', []))):
                names.append(f'{path.name}::{test.name}')
    return names


if __name__ == '__main__':
    print(f'{len(properties())} properties, {max_examples} examples of each')
