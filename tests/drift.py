"""Do the notebooks still give the outputs that are stored in them? `python tests/drift.py
nbs/chapter/02_multilayer_rnn.ipynb …`

Each is run from start to end, by this interpreter, in its own folder; its file is only read. A
cell that fails, that takes longer than CELL_SECONDS (600), or whose outputs drift, is printed,
and the status is 1. What may differ is said among a cell's first lines:

- nothing is said: the same text and the same pictures. Never compared are stderr (progress bars,
  warnings), the style of HTML tables, addresses of objects, and the time column of a training
  table. A picture is compared pixel by pixel (SVG: part by part), if one version of Matplotlib
  drew both; if not, it must only be there, since each version draws letters in its own way.
- `#| drift: numbers`, where a training, rounding, a clock, a version or an unseeded draw
  decides: the same text around any numbers, as many pictures. Whether a training comes out right
  is asked elsewhere, from stored seeds (tests/test_digits.py, tests/test_runs.py).

Which cells need one shows when the notebooks run as if on an older CPU: `make elsewhere`, or
with these set:
OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41
MKL_ENABLE_INSTRUCTIONS=SSE4_2 OPENBLAS_CORETYPE=Nehalem NPY_DISABLE_CPU_FEATURES='X86_V3 X86_V4'"""

import base64
import copy
import difflib
import io
import os
import re
import signal
import sys
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from PIL import Image

from kernels import Kernel

limit = int(os.getenv('CELL_SECONDS', 600))  # of one cell
images = ['image/png', 'image/svg+xml']
ansi = re.compile(r'\x1b\[[0-9;]*m')
number = re.compile(
    r'(?<![\w.])[-+−]?(?:\d+(?:,\d{3})*(?:\.\d+)*\.?(?:e[-+]?\d+)?|(?:nan|inf)\b)', re.I
)  # not the 5 of LMModel5


def asked(cell, name):
    "What `#| name: …` among the first lines of `cell` says, or None"
    for line in cell.source.splitlines():
        if not line.startswith('#|'):
            return
        if found := re.fullmatch(rf'#\|\s*{name}:\s*(.*?)\s*', line):
            return found[1]


def rerun(nb, folder):
    """Each code cell of `nb`: its number, as stored, as it comes out now, and the lines of its
    error if it fails, which ends the run"""
    now = copy.deepcopy(nb)
    client = NotebookClient(
        now,
        timeout=limit,
        startup_timeout=300,
        kernel_manager_class=Kernel,
        shutdown_kernel='immediate',
        extra_arguments=['--log-level=ERROR'],
        resources={'metadata': {'path': str(folder)}},
    )
    group = None
    try:
        with client.setup_kernel():
            group = client.km.provisioner.pgid
            for i, cell in enumerate(now.cells):
                if (
                    cell.cell_type != 'code'
                    or 'nbdev_export(' in cell.source
                    or asked(cell, 'eval') == 'false'
                ):
                    continue
                error = []
                try:
                    client.execute_cell(cell, i)
                except CellExecutionError as e:
                    said = next(
                        (o.traceback for o in cell.outputs if o.output_type == 'error'), [str(e)]
                    )
                    error = ansi.sub('', '\n'.join(said)).splitlines()
                except CellTimeoutError:
                    error = [f'it takes longer than {limit} s']
                except DeadKernelError:
                    error = ['the kernel died']
                yield i, nb.cells[i], cell, error
                if error:
                    return
    finally:
        if (
            group and group != os.getpgrp()
        ):  # the kernel has ended; worker processes that it left behind have not
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                pass


def shown(cell):
    """What a cell shows, as pairs of kind and content: prints in pieces are joined, stderr is left
    out"""
    res = []
    for o in cell.outputs:
        if o.output_type != 'stream':
            res += sorted(o.get('data', {}).items())
        elif o.name == 'stdout' and res and res[-1][0] == 'stdout':
            res[-1] = 'stdout', res[-1][1] + o.text
        elif o.name == 'stdout':
            res.append(('stdout', o.text))
    return res


def lines(cell, how):
    "What is compared of the text that a cell shows, line by line; a picture is a line too"
    for kind, text in shown(cell):
        yield f'[{kind}]'
        if kind in images:
            continue
        text = re.sub(r'<style.*?</style>', '', str(text), flags=re.S)
        text = re.sub(r' at 0x[0-9a-fA-F]+', '', text).replace('</tr>', '</tr>\n')
        text = re.sub(r'<td>\d+:\d\d(:\d\d)?</td>', '<td>time</td>', text)
        if how:
            text = re.sub(r'([\[(]) +', r'\1', re.sub(r'[ \t]+', ' ', number.sub('#', text)))
        yield from (o.strip() for o in text.splitlines() if o.strip()) if how else text.split('\n')


def pixels(png):
    with Image.open(io.BytesIO(base64.b64decode(png))) as im:
        return im.info.get('Software'), np.asarray(im.convert('RGBA'), int)


def vectors(svg):
    "What drew an SVG; its tags and what stands between them, without date and random names"
    by = re.search(r'<dc:title>(.*?)</dc:title>', svg)
    svg = re.sub(r'<dc:date>.*?</dc:date>|\b[a-z][0-9a-f]{10}\b', '', svg)
    return by and by[1], re.split(r'(<[^!>][^>]*>)', svg)


def as_drawn(a, b):
    "Is a part of an SVG the same? The coordinates of a tag may be a hundredth of a point off"
    if not a.startswith('<') or a == b:
        return a == b
    if number.sub('#', a) != number.sub('#', b):
        return False
    pairs = zip(number.findall(a), number.findall(b))
    return all(x == y or abs(float(x) - float(y)) <= 0.01 for x, y in pairs)


def redrawn(kind, was, now):
    """How a picture differs from the stored one, or None. Edges may be a shade off, by the rounding
    of another CPU; a moved line or a changed letter is more"""
    (by, a), (by_now, b) = [(pixels if kind == 'image/png' else vectors)(o) for o in (was, now)]
    if by != by_now:
        return
    if kind != 'image/png':
        n = sum(not as_drawn(x, y) for x, y in zip(a, b)) + abs(len(a) - len(b))
        return f'{kind}: {n} of {len(a)} parts are others' if n else None
    if a.shape != b.shape:
        return f'{kind}: {b.shape[1]} × {b.shape[0]} pixels, stored {a.shape[1]} × {a.shape[0]}'
    if n := (np.abs(a - b).max(-1) > 64).sum():
        return f'{kind}: {n} of {a[..., 0].size} pixels are others'


def drift(old, new):
    """How a cell's outputs differ from the stored ones in what its directive asks to agree, in
    lines; none if they agree"""
    how = asked(old, 'drift')
    if how not in (None, 'numbers'):
        return [f'drift: {how!r} is unknown; there is numbers']
    found = list(
        difflib.unified_diff(
            list(lines(old, how)), list(lines(new, how)), 'stored', 'now', n=1, lineterm=''
        )
    )
    if how or found:
        return found
    return list(
        filter(
            None,
            (
                redrawn(kind, a, b)
                for (kind, a), (_, b) in zip(shown(old), shown(new))
                if kind in images
            ),
        )
    )


def report(place, cell, what):
    "Where it was, the first lines of the cell's code, and what happened there"
    code = [o for o in cell.source.splitlines() if o.strip() and not o.startswith('#|')]
    return '\n'.join(
        [
            place,
            *(f'    {o[:160]}' for o in code[:3]),
            *(['    …'] if len(code) > 3 else []),
            *(o[:300] for o in what),
        ]
    )


def check(path):
    "Reports of all that is wrong with the notebook at `path`"
    nb, reports, unstored = nbformat.read(path, as_version=4), [], False
    stored = any(o.outputs for o in nb.cells if o.cell_type == 'code')
    for i, old, new, error in rerun(nb, path.parent):
        place = f'{path}, cell {i}'
        if error:
            reports.append(report(f'{place} fails:', old, error[-60:]))
        elif not stored:
            unstored |= bool(shown(new))
        elif found := drift(old, new):
            more = [f'… {len(found) - 60} more lines'] if len(found) > 60 else []
            reports.append(report(f'{place} drifts:', old, found[:60] + more))
    if unstored:
        reports.append(f'{path}: no outputs are stored; `make notebooks` stores them')
    return reports


if __name__ == '__main__':
    if not sys.argv[1:]:
        sys.exit('usage: python tests/drift.py nbs/chapter/02_multilayer_rnn.ipynb …')
    found = [o for path in sys.argv[1:] for o in check(Path(path))]
    if found:
        print(*found, sep='\n\n')
    sys.exit(bool(found))
