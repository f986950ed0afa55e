"""Make what the page "Train it here" loads: train.c compiled to WebAssembly, and the text, the
bands of our seeds and the printed curves, all of it in scripts, since a page from a disk may read
no other files. `--check` makes it in a temporary folder and compares it with what is committed."""

import argparse
import base64
import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

here = Path(__file__).parent
static = here.parent / '_static'
models = ('LMModel5', 'LMModel6', 'LMModel7')
# No -ffast-math: the same sums in the same order in every browser. Bulk memory is what loops that
# fill and copy are turned into; where there is SIMD, there is that.
options = (
    '-target wasm32-freestanding -std=c11 -O3 -msimd128 -mbulk-memory -ffreestanding -nostdlib '
    '-fno-math-errno -Wall -Wextra -Werror -Wl,--no-entry -Wl,--strip-all'
).split()


def compiled(folder):
    "The bytes of train.c as WebAssembly"
    out = Path(folder) / 'train.wasm'
    # named without its folder, so that no path gets into the file
    command = [sys.executable, '-m', 'ziglang', 'cc', *options, 'train.c', '-o', str(out)]
    subprocess.run(command, cwd=here, check=True, timeout=300)
    return out.read_bytes()


def in_text(data):
    "Bytes as a string"
    return base64.b64encode(data).decode('ascii')


def bands(model):
    "For each curve and epoch the 5, 50 and 95 % quantiles of our seeds; each seed's last accuracy"
    from rnnlm.tables import curves, reference

    runs = reference(model)
    found = {}
    for name in curves:
        quantiles = runs.groupby('epoch')[name].quantile([0.05, 0.5, 0.95]).unstack()
        found[name] = quantiles.round(4).to_numpy().T.tolist()
    last = runs[runs.epoch == runs.epoch.max()].accuracy
    return dict(bands=found, last=sorted(last.round(4)), seeds=runs.seed.nunique())


def printed(model):
    "The printed table, a list a curve"
    from rnnlm.tables import curves, published

    return published(model)[curves].to_dict('list')


def text():
    "The words as bytes, each a place in the vocabulary; the vocabulary"
    from rnnlm.data import human_numbers, make_vocab, numericalize, tokenize

    tokens = tokenize(human_numbers())
    vocab = make_vocab(tokens)
    return bytes(numericalize(tokens, vocab).tolist()), vocab


def recipes():
    "How the chapter makes and trains each model, as the page's controls have it"
    from rnnlm.chapter import recipe

    found = {}
    for model in models:
        r = recipe(model)
        plain = model == 'LMModel5'
        found[model] = dict(
            layers=r.args[1],
            unit='tanh' if plain else 'LSTM',
            lr=r.lr,
            dropout=r.args[2] if r.text else 0,
            ar=r.alpha if r.text else 0,
            tar=r.beta if r.text else 0,
            tied=r.text,
            wd=0.01 if r.wd is None else r.wd,
            momentum='low' if r.text else 'high',
        )
    return found


def made(folder):
    "Each file's bytes, by its place in the repository's docs/"
    wasm = compiled(folder)
    words, vocab = text()
    data = dict(
        text=in_text(words),
        vocab=vocab,
        recipes=recipes(),
        models={m: dict(**bands(m), printed=printed(m)) for m in models},
    )

    def script(name, value, what):
        lines = f'// Made by docs/train/build.py: {what}\nglobalThis.{name} = {value};\n'
        return lines.encode('utf-8')

    return {
        here / 'train.wasm': wasm,
        static / 'train_kernel.js': script(
            'TRAIN_KERNEL', json.dumps(in_text(wasm)), 'docs/train/train.c as WebAssembly.'
        ),
        static / 'train_data.js': script(
            'TRAIN_DATA',
            json.dumps(data, separators=(',', ':')),
            'the text, the bands of our seeds, and the printed curves.',
        ),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='write nothing; 1 if files differ')
    check = parser.parse_args().check
    if not find_spec('ziglang'):
        print("The compiler is missing: pip install -e '.[wasm]' brings ziglang")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        files = made(folder)
    differ = []
    for path, data in files.items():
        if not path.exists() or path.read_bytes() != data:
            differ.append(path.name)
            if not check:
                path.write_bytes(data)
    if check and differ:
        print(f'Not what docs/train/build.py makes: {", ".join(differ)}; run it and commit that')
        return 1
    sizes = ', '.join(f'{p.name} {len(data):,} bytes' for p, data in files.items())
    print(sizes)
    return 0


if __name__ == '__main__':
    sys.exit(main())
