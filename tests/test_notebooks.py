"""Each notebook runs from start to end, and its outputs are the stored ones (see drift.py)."""

from pathlib import Path

import pytest

from drift import check

root = Path(__file__).parent.parent
# those of the replication take longest: they come first, so that none is left alone at the end
found = sorted(root.glob('nbs/**/*.ipynb'), reverse=True)
paths = [o for o in found if '.ipynb_checkpoints' not in o.parts]


@pytest.mark.parametrize('path', [o.relative_to(root).as_posix() for o in paths])
def test_notebook(path):
    found = check(root / path)
    assert not found, '\n\n'.join(found)
