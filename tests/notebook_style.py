"""How the notebooks read, in numbers: a Markdown table for CONTRIBUTING.md (`make style`)."""
import json
import statistics
from pathlib import Path

root = Path(__file__).parent.parent


def measure(path):
    "Cells, median and longest code cell in lines (blank and comment lines not counted), share of prose, share of code cells with output"
    cells = [c for c in json.loads(path.read_text(encoding='utf-8'))['cells'] if ''.join(c['source']).strip()]
    code = [c for c in cells if c['cell_type'] == 'code']
    lines = [sum(1 for o in ''.join(c['source']).splitlines() if o.strip() and not o.strip().startswith('#')) for c in code]
    return dict(cells=len(cells), median_lines=statistics.median(lines or [0]), over_20=sum(n > 20 for n in lines),
                prose=(len(cells)-len(code))/len(cells), output=sum(bool(c['outputs']) for c in code)/max(len(code), 1))


def table():
    rows = ['| notebook | cells | median lines | cells over 20 lines | prose | code cells with output |', '|---|---|---|---|---|---|']
    nbs = root/'nbs'
    for path in sorted(o for o in nbs.rglob('*.ipynb') if '.ipynb_checkpoints' not in o.parts):
        m = measure(path)
        rows.append(f"| {path.relative_to(nbs).with_suffix('')} | {m['cells']} | {m['median_lines']:g} | {m['over_20']} | {m['prose']:.0%} | {m['output']:.0%} |")
    return '\n'.join(rows)


if __name__ == '__main__': print(table())
