"""What the study costs, measured on this machine in one run (`make limits`): not a test, since a timing beside other work says little.

Seeds a minute of two processes over one, in turn; the most memory that a worker held; the start with 100,000 finished runs in the folder.
"""
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from rnnlm.study import Runs, study

model, seeds, rounds = 'LMModel6', 6, 3
command = Path(sys.executable).parent/'rnnlm_reproduce'


def seconds(f, *args, **kwargs):
    start = time.perf_counter()
    f(*args, **kwargs)
    return time.perf_counter() - start


def some(jobs):
    with tempfile.TemporaryDirectory() as d:
        took = seconds(study, model, seeds, d, jobs=jobs)
        return took, max(r['peak_mb'] for r in Runs(d).load())


def start_with(n):
    "Seconds from the command to its verdict with `n` finished runs in the folder, one of which is asked for"
    with tempfile.TemporaryDirectory() as d:
        with tempfile.TemporaryDirectory() as own:
            study(model, 1, own)
            rec = Runs(own).load()[0]
        with open(Path(d)/'runs.jsonl', 'w') as f: f.writelines(json.dumps(rec | dict(seed=s)) + '\n' for s in range(n))
        return seconds(subprocess.run, [command, '--models', model, '--seeds', '1', '--out', d], check=False, stdout=subprocess.DEVNULL)


for jobs in (1, 2): some(jobs)                                     # workers start once
pairs = [(some(1), some(2)) for _ in range(rounds)]
ratios = sorted(one[0]/two[0] for one, two in pairs)
print(f'{model}, {seeds} seeds, {rounds} pairs: two processes do {median(ratios):.2f} times the seeds a minute of one ({ratios[0]:.2f} to {ratios[-1]:.2f})')
print(f'most memory of a worker: {max(o[1] for p in pairs for o in p)} MB')
few, many = start_with(1), start_with(100_000)
print(f'start with 1 finished run {few:.1f} s, with 100,000 {many:.1f} s: {many-few:.1f} s more')
