"""Notebooks as their readers see them, for the site (MyST-NB) and for README.md (nbconvert).

Cells say how they want to be shown in nbdev's and Quarto's way, by lines such as `#| echo:
false`. MyST-NB and nbconvert know tags instead. `read` turns the one into the other; run as a
script, this makes README.md."""

import ast
import posixpath
import re
from functools import cache
from pathlib import Path

import nbformat

import repository

root = Path(__file__).parent.parent
tags = {
    ('echo', 'false'): 'remove-input',
    ('code-fold', 'true'): 'hide-input',
    ('hide', ''): 'remove-cell',
    ('include', 'false'): 'remove-cell',
    ('output', 'false'): 'remove-output',
}
directive = re.compile(r'#\|\s*([\w-]+)(?::?\s*(.*))?$')


@cache
def index():
    """The address that nbdev thinks is the API's, and from nbdev's index the module of each
    exported name of each notebook"""
    found = ast.literal_eval(
        (root / 'rnnlm/_modidx.py').read_text(encoding='utf-8').split('d = ', 1)[1]
    )
    names = {
        (link.split('.html')[0], sym[len(mod) + 1 :]): mod
        for mod, syms in found['syms'].items()
        for sym, (link, _) in syms.items()
    }
    return found['settings']['doc_host'] + found['settings']['doc_baseurl'], names


def to_reference(text, page='index', role=True):
    """nbdev's links to names, which know no API reference, made links to it; in a box of code only
    the name is left"""
    host, names = index()
    own = re.sub(r'(^|/)\d+[a-z]?_', r'\1', page)  # as nbdev calls this notebook

    def link(m):
        shown, said, there = m.groups()  # `f()` is said of f
        module = names.get((own, said)) or names.get((there, said))
        if module is None:
            return m[0]
        if said.startswith('_'):
            return f'`{shown}`'
        name = f"{module}.{said.split('.')[0]}"  # a method's place is in its class
        if role:
            return f'{{py:obj}}`{shown} <{name}>`'
        target = 'api/' + module.split('.', 1)[1].replace('.', '/')
        return (
            f'[`{shown}`]({posixpath.relpath(target, posixpath.dirname(page) or ".")}.html#{name})'
        )

    address = re.escape(host) + r'/([\w/]+)\.html(?:#[^)]*)?'
    linked = re.compile(r'\[`(([\w.]+)(?:\(\))?)`\]\(' + address + r'\)')
    parts = re.split(r'(^```.*?^```)', text, flags=re.M | re.S)
    return ''.join(linked.sub(r'\1' if i % 2 else link, o) for i, o in enumerate(parts))


def on_site(text, page, suffix=None):
    """Links of a notebook to other files of the repository, made links to the site's pages, which
    lie otherwise: nbs/ and docs/ are its top"""
    folder = posixpath.dirname(page)

    def link(m):
        path = posixpath.normpath(posixpath.join('nbs', folder, m[1]))
        path = posixpath.relpath(re.sub(r'^(nbs|docs)/', '', path), folder or '.')
        return f"]({re.sub(r'[.](ipynb|md)$', suffix, path) if suffix else path}{m[2] or ''})"

    return re.sub(r'\]\(((?:\.\./)+[\w./-]+|[\w./-]+\.ipynb)(#[^)\s]*)?\)', link, text)


def read(text, site=True):
    "The notebook in `text`, its directive lines made into tags and alternative texts"
    nb = nbformat.reads(text, as_version=4)
    page = nb.metadata.get('page', 'index')  # pages.py says which page of the site it is
    for cell in nb.cells:
        if cell.cell_type == 'markdown' and site:
            cell.source = to_reference(on_site(cell.source, page), page)
        if cell.cell_type != 'code':
            continue
        lines = cell.source.splitlines()
        alt = []
        while lines and lines[0].startswith('#|'):
            found = directive.match(lines[0])
            name, value = (found[1], (found[2] or '').strip()) if found else ('', '')
            if tag := tags.get((name, value)):
                cell.metadata.setdefault('tags', []).append(tag)
            if name == 'fig-alt':  # in as many lines as it takes
                alt.append(value)
            lines.pop(0)
        if alt:
            cell.metadata['mystnb'] = {'image': {'alt': ' '.join(alt)}}
        cell.source = '\n'.join(lines)
        if not site:
            continue
        for o in cell.outputs:
            data = o.get('data', {})
            if 'text/markdown' not in data:
                continue
            said = ''.join(data['text/markdown'])
            data['text/markdown'] = to_reference(
                on_site(said, page, '.html'), page, role=cell.source.startswith('show_doc(')
            )
        if cell.source.startswith('show_doc('):
            as_markdown(cell, shown=code_follows(nb.cells, cell))
    return nb


def code_follows(cells, cell):
    "Is the code that `cell` documents shown right below it?"
    later = cells[cells.index(cell) + 1 :][:1]
    return (
        bool(later)
        and later[0].cell_type == 'code'
        and later[0].source.startswith('#| code-fold: show')
    )


def source_below(text):
    """nbdev's link to the source, which would end the section before, put below the title, with our
    address"""

    def moved(m):
        at = repository.link(m[1])
        return m[2] + (f'\n[source]({at})\n' if at else '')

    return re.sub(r'^\[source\]\(\S*/(rnnlm/\S+)\).*\n+(#+ .*\n)', moved, text)


def as_markdown(cell, shown=False):
    """Put what nbdev wrote about a function or class in the place of the cell that asked for it;
    only its title if the code, which says the same, is shown"""
    text = ''.join(''.join(o.data.get('text/markdown', '')) for o in cell.outputs if 'data' in o)
    text = re.sub(r'^---\n+', '', text)
    # a default that is a function, by its name: its address is another one in each build
    text = re.sub(r'<function (?:\w+\.)*(\w+) at 0x[0-9a-f]+>', r'\1', text)
    text = source_below(text)
    if shown and (title := re.search(r'^#+ .+$', text, re.M)):
        text = title[0]
    cell.update(cell_type='markdown', source=text, metadata={})
    del cell['outputs'], cell['execution_count']


def readme():
    """Write README.md from nbs/index.ipynb: its figures to nbs/images, its links made to work from
    the top folder"""
    from nbconvert import MarkdownExporter
    from traitlets.config import Config

    nb = read((root / 'nbs/index.ipynb').read_text(encoding='utf-8'), site=False)
    nb.metadata['language_info'] = {'name': 'python'}
    hidden = dict(
        enabled=True,
        remove_input_tags=['remove-input'],
        remove_cell_tags=['remove-cell'],
        remove_all_outputs_tags=['remove-output'],
    )
    body, made = MarkdownExporter(config=Config(TagRemovePreprocessor=hidden)).from_notebook_node(
        nb
    )
    alts = iter([o.metadata.mystnb['image']['alt'] for o in nb.cells if 'mystnb' in o.metadata])
    for i, (name, data) in enumerate(sorted(made['outputs'].items())):
        path = f'images/index_{i}{Path(name).suffix}'
        (root / 'nbs' / path).parent.mkdir(exist_ok=True)
        (root / 'nbs' / path).write_bytes(data)
        body = re.sub(rf'!\[[^]]*\]\({name}\)', lambda m: f'![{next(alts)}]({path})', body)
    body = re.sub(r'\]\((?!https?:|#|mailto:)(\.\./)?', lambda m: '](' if m[1] else '](nbs/', body)
    body = re.sub(r'\n{3,}', '\n\n', body).strip() + '\n'
    (root / 'README.md').write_text(body, encoding='utf-8')


if __name__ == '__main__':
    readme()
