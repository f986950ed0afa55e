"""How the code reads: no line over 100 columns, no two statements joined by `;`. That goes for the
notebooks, from which the modules are made, and for tests and docs. Each place where it is not so
is printed, and the status is 1 (`make style`)."""

import io
import json
import sys
import tokenize
from pathlib import Path

root = Path(__file__).parent.parent
widest = 100
# The modules in rnnlm/ are made from the notebooks.
written = ('nbs/**/*.ipynb', 'tests/*.py', 'docs/*.py', 'capsule/*.py', 'setup.py')
end_of_statement = (tokenize.NEWLINE, tokenize.NL, tokenize.COMMENT, tokenize.ENDMARKER)


def sources(path):
    "The name and the text of each code cell of a notebook, or of a module as a whole"
    text = path.read_text(encoding='utf-8')
    name = path.relative_to(root)
    if path.suffix == '.py':
        return [(str(name), text)]
    cells = json.loads(text)['cells']
    code = [(i, ''.join(o['source'])) for i, o in enumerate(cells) if o['cell_type'] == 'code']
    return [(f'{name}, cell {i}', source) for i, source in code]


def wide(source):
    "The lines of `source`, by number, that are wider than a page of the site"
    return [i for i, o in enumerate(source.splitlines(), 1) if len(o) > widest]


def joined(source):
    "The lines of `source`, by number, where a statement follows another after `;`"
    # IPython's own lines are no Python; a `;` at the end of a cell only says that nothing is shown
    lines = ['' if o.startswith(('%', '!')) else o for o in source.splitlines()]
    tokens = list(tokenize.generate_tokens(io.StringIO('\n'.join(lines) + '\n').readline))
    return [
        one.start[0]
        for one, after in zip(tokens, tokens[1:])
        if one.string == ';' and one.type == tokenize.OP and after.type not in end_of_statement
    ]


def found(path):
    "What is wrong with the code at `path`, a line each"
    for name, source in sources(path):
        for line in wide(source):
            yield f'{name}, line {line}: wider than {widest} columns'
        for line in joined(source):
            yield f'{name}, line {line}: statements joined by a semicolon'


def files():
    "All code that is written by people"
    for pattern in written:
        for path in sorted(root.glob(pattern)):
            if '.ipynb_checkpoints' not in path.parts:
                yield path


if __name__ == '__main__':
    paths = list(files())
    bad = [o for path in paths for o in found(path)]
    print(*bad, sep='\n', end='\n' if bad else '')
    print(f'{len(paths)} files of code: {len(bad)} lines too wide or joined by a semicolon')
    sys.exit(bool(bad))
