"""Module, notebooks, README.md and the table of what was tried say the same: exporting, cleaning
and making them anew changes nothing."""

import hashlib
import subprocess
import sys
from pathlib import Path

root, bin = Path(__file__).parent.parent, Path(sys.executable).parent
steps = [
    ('nbdev_export', [bin / 'nbdev_export']),
    ('nbdev_clean', [bin / 'nbdev_clean']),
    ('make readme', [sys.executable, 'docs/cells.py']),
    ('what was tried', [sys.executable, 'tests/tried.py']),
]


def state():
    files = [
        *root.glob('nbs/**/*.ipynb'),
        *root.glob('nbs/images/*'),
        *root.glob('rnnlm/**/*.py'),
        root / 'README.md',
        root / 'docs' / 'checks.md',
    ]
    files = [f for f in files if '.ipynb_checkpoints' not in f.parts]
    return {f.relative_to(root): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


bad = 0
for name, cmd in steps:
    before = state()
    subprocess.run(cmd, cwd=root, check=True, timeout=600)
    after = state()
    changed = sorted(str(f) for f in before.keys() | after.keys() if before.get(f) != after.get(f))
    said = f'changed {", ".join(changed)}; commit that' if changed else 'nothing changed'
    print(f'{name}: {said}')
    bad += bool(changed)
sys.exit(bad and 1)
