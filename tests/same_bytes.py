"""Build the site into _docs and, at the same time, elsewhere, and compare the bytes.

The other build is made from a copy of the sources in another folder, with other hash values of
strings: what depends on either, on the time or on an address in memory would differ."""

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


def building(sources, out, **env):
    "The process that builds the site of `sources` into `out`"
    command = [sys.executable, 'docs/build.py', str(out)]
    return subprocess.Popen(command, cwd=sources, env=os.environ | env)


def main():
    site = root / '_docs'
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / 'another place'
        other = Path(folder) / 'site'
        shutil.copytree(root, copy, ignore=shutil.ignore_patterns(*not_sources), symlinks=True)
        builds = [
            building(root, site, PYTHONHASHSEED='0'),
            building(copy, other, PYTHONHASHSEED='1', PYTHONPATH=str(copy)),
        ]
        if any([build.wait() for build in builds]):
            sys.exit('The site could not be built')
        found = differing(site, other)
        for name in found[:20]:
            print(f'Not the same in another build: {name}')
        if found:
            sys.exit(1)
    print(f'Another build has the same bytes: {len(files(site))} files')


if __name__ == '__main__':
    main()
