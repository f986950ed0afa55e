"""Build the site once more, and say whether the bytes are those of _docs.

The second build is made from a copy of the sources in another folder, with other hash values of
strings: what hangs on either, on the time or on an address in memory would differ. Run after
`make docs`, as `make check` does."""

import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

root = Path(__file__).parent.parent
not_sources = ('.git', '.venv*', '_docs', '_proc', 'results', '__pycache__', '.pytest_cache')


def files(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob('*') if p.is_file()}


def differing(one, other):
    "The names of the files that are not in both folders, or not the same there"
    both = files(one) & files(other)
    unlike = {o for o in both if not filecmp.cmp(one / o, other / o, shallow=False)}
    return sorted(unlike | (files(one) ^ files(other)))


def built_elsewhere(folder):
    "The site, built from a copy of the sources in `folder`"
    copy = folder / 'another place'
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns(*not_sources), symlinks=True)
    env = os.environ | dict(PYTHONPATH=str(copy), PYTHONHASHSEED='1')
    out = folder / 'site'
    subprocess.run([sys.executable, 'docs/build.py', str(out)], cwd=copy, env=env, check=True)
    return out


def main():
    site = root / '_docs'
    if not (site / 'index.html').exists():
        sys.exit('There is no site to compare with: make docs')
    with tempfile.TemporaryDirectory() as folder:
        found = differing(site, built_elsewhere(Path(folder)))
        for name in found[:20]:
            print(f'Not the same in another build: {name}')
        if found:
            sys.exit(1)
    print(f'Another build has the same bytes: {len(files(site))} files')


if __name__ == '__main__':
    main()
