"""Notebooks as their readers see them, for the site (MyST-NB) and for README.md (nbconvert).

Cells say how they want to be shown in nbdev's and Quarto's way, by lines such as `#| echo: false`.
MyST-NB and nbconvert know tags instead. `read` turns the one into the other; run as a script, this makes README.md.
"""
import ast
import re
from functools import cache
from pathlib import Path

import nbformat

root = Path(__file__).parent.parent
tags = {('echo', 'false'): 'remove-input', ('code-fold', 'true'): 'hide-input', ('hide', ''): 'remove-cell',
        ('include', 'false'): 'remove-cell', ('output', 'false'): 'remove-output'}
linked = re.compile(r'\[`([\w.]+)`\]\(https://[^)]*?/\w+\.html#[^)]*\)')          # as nbdev links names in backticks
directive = re.compile(r'#\|\s*([\w-]+)(?::?\s*(.*))?$')


@cache
def modules():
    "The module of each exported name, from nbdev's index"
    index = ast.literal_eval((root/'rnnlm/_modidx.py').read_text(encoding='utf-8').split('d = ', 1)[1])
    return {sym[len(mod)+1:]: mod for mod, syms in index['syms'].items() for sym in syms}


def to_reference(text, role=True):
    "nbdev's links to names, which know no API reference, made links to it; in a box of code only the name is left"
    def link(m):
        if m[1] not in modules(): return m[0]
        name = f"{modules()[m[1]]}.{m[1].split('.')[0]}"           # a method's place is in its class
        return f'{{py:obj}}`{m[1]} <{name}>`' if role else f"[`{m[1]}`](api/{modules()[m[1]].split('.')[-1]}.html#{name})"
    parts = re.split(r'(^```.*?^```)', text, flags=re.M | re.S)
    return ''.join(linked.sub(r'\1' if i % 2 else link, o) for i, o in enumerate(parts))


def read(text, site=True):
    "The notebook in `text`, its directive lines made into tags and alternative texts"
    nb = nbformat.reads(text, as_version=4)
    for cell in nb.cells:
        if cell.cell_type == 'markdown' and site: cell.source = to_reference(re.sub(r'\]\(\.\./(docs/)?', '](', cell.source))
        if cell.cell_type != 'code': continue
        lines = cell.source.splitlines()
        while lines and lines[0].startswith('#|'):
            found = directive.match(lines[0])
            name, value = (found[1], (found[2] or '').strip()) if found else ('', '')
            if tag := tags.get((name, value)): cell.metadata.setdefault('tags', []).append(tag)
            if name == 'fig-alt': cell.metadata['mystnb'] = {'image': {'alt': value}}
            lines.pop(0)
        cell.source = '\n'.join(lines)
        if not site: continue
        for o in cell.outputs:
            data = o.get('data', {})
            if 'text/markdown' in data: data['text/markdown'] = re.sub(r'\]\((\w+)\.ipynb', r'](\1.html', to_reference(''.join(data['text/markdown']), role=cell.source.startswith('show_doc(')))
        if cell.source.startswith('show_doc('): as_markdown(cell, shown=code_follows(nb.cells, cell))
    return nb


def code_follows(cells, cell):
    "Is the code that `cell` documents shown right below it?"
    later = cells[cells.index(cell)+1:][:1]
    return bool(later) and later[0].cell_type == 'code' and later[0].source.startswith('#| code-fold: show')


def as_markdown(cell, shown=False):
    "Put what nbdev wrote about a function or class in the place of the cell that asked for it; only its title if the code, which says the same, is shown"
    text = ''.join(''.join(o.data.get('text/markdown', '')) for o in cell.outputs if 'data' in o)
    text = re.sub(r'^---\n+', '', text)
    if shown and (title := re.search(r'^#+ .+$', text, re.M)): text = title[0]
    cell.update(cell_type='markdown', source=text, metadata={})
    del cell['outputs'], cell['execution_count']


def readme():
    "Write README.md from nbs/index.ipynb: its figures to nbs/images, its links made to work from the top folder"
    from nbconvert import MarkdownExporter
    from traitlets.config import Config
    nb = read((root/'nbs/index.ipynb').read_text(encoding='utf-8'), site=False)
    nb.metadata['language_info'] = {'name': 'python'}
    hidden = dict(enabled=True, remove_input_tags=['remove-input'], remove_cell_tags=['remove-cell'], remove_all_outputs_tags=['remove-output'])
    body, made = MarkdownExporter(config=Config(TagRemovePreprocessor=hidden)).from_notebook_node(nb)
    alts = iter([o.metadata.mystnb['image']['alt'] for o in nb.cells if 'mystnb' in o.metadata])
    for i, (name, data) in enumerate(sorted(made['outputs'].items())):
        path = f'images/index_{i}{Path(name).suffix}'
        (root/'nbs'/path).parent.mkdir(exist_ok=True)
        (root/'nbs'/path).write_bytes(data)
        body = re.sub(rf'!\[[^]]*\]\({name}\)', lambda m: f'![{next(alts)}]({path})', body)
    body = re.sub(r'\]\((?!https?:|#|mailto:)(\.\./)?', lambda m: '](' if m[1] else '](nbs/', body)
    body = re.sub(r'\n{3,}', '\n\n', body).strip() + '\n'
    (root/'README.md').write_text(body, encoding='utf-8')


if __name__ == '__main__': readme()
