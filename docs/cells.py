"""Notebooks as their readers see them, for the site (MyST-NB) and for README.md (nbconvert).

Cells say how they want to be shown in nbdev's and Quarto's way, by lines such as `#| echo:
false`. MyST-NB and nbconvert know tags instead. `read` turns the one into the other; run as a
script, this makes README.md. What `#| fig-alt` and `#| fig-cap` say of a figure, in as many lines
as it takes, is put into the cell's metadata, and the site's figures into their pages."""

import ast
import posixpath
import re
from functools import cache
from pathlib import Path

import nbformat

import figures
import folds
import repository
import tables

root = Path(__file__).parent.parent
tags = {
    ('echo', 'false'): 'remove-input',
    ('hide', ''): 'remove-cell',
    ('include', 'false'): 'remove-cell',
    ('output', 'false'): 'remove-output',
}
directive = re.compile(r'#\|\s*([\w-]+)(?::?\s*(.*))?$')
marked = {
    'markdown': re.compile(r'<!-- widget: ([\w-]+) -->'),
    'code': re.compile(r'(?:#\|.*\n)*?#\| widget: ([\w-]+)$', re.M),
    'raw': re.compile('(?!)'),
}


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


def widget(name, page):
    "docs/widgets/NAME.html for a cell of `page`; its links start from the site's top"
    path = root / f'docs/widgets/{name}.html'
    if not path.exists():
        raise FileNotFoundError(f'{page}: there is no widget {name!r} in docs/widgets')
    up = '../' * page.count('/')
    own = r'(?<=\s)(src|href)="(?![a-z]+:|[#/])'
    text = re.sub(own, rf'\1="{up}', path.read_text(encoding='utf-8').strip())
    return f'`````{{raw}} html\n{text}\n`````'


def read(text, site=True):
    """The notebook in `text`, its directive lines made into tags and alternative texts

    A cell that begins with `<!-- widget: NAME -->` (Markdown) or `#| widget: NAME` (code) shows
    itself in Jupyter and in README.md; on the site docs/widgets/NAME.html takes its place."""
    nb = nbformat.reads(text, as_version=4)
    page = nb.metadata.get('page', 'index')  # pages.py says which page of the site it is
    shown = 0
    for cell in nb.cells:
        if found := marked[cell.cell_type].match(cell.source):
            if site:
                as_markdown(cell, widget(found[1], page))
                continue
            if cell.cell_type == 'markdown':
                cell.source = cell.source[found.end() :].lstrip()
        if cell.cell_type == 'markdown' and site:
            cell.source = to_reference(on_site(cell.source, page), page)
        if cell.cell_type != 'code':
            continue
        lines = cell.source.splitlines()
        spoken, directives = {'fig-alt': [], 'fig-cap': []}, {}
        while lines and lines[0].startswith('#|'):
            found = directive.match(lines[0])
            name, value = (found[1], (found[2] or '').strip()) if found else ('', '')
            directives[name] = value
            if tag := tags.get((name, value)):
                cell.metadata.setdefault('tags', []).append(tag)
            if name in spoken:
                spoken[name].append(value)
            lines.pop(0)
        cell.metadata['figure'] = [' '.join(o) for o in spoken.values()]
        if 'default_exp' in directives:
            cell.metadata.setdefault('tags', []).append('remove-cell')
        cell.source = '\n'.join(lines)
        if not site:
            continue
        folds.fold(cell, directives)
        for o in cell.outputs:
            data = o.get('data', {})
            if 'text/html' in data:
                data['text/html'] = tables.words_left(''.join(data['text/html']))
            if 'image/svg+xml' in data:
                shown += 1
                drawn = figures.figure(''.join(data['image/svg+xml']), shown, *cell.metadata.figure)
                o['data'] = nbformat.from_dict({'text/html': drawn})
            if 'text/markdown' not in data:
                continue
            said = ''.join(data['text/markdown'])
            data['text/markdown'] = to_reference(
                on_site(said, page, '.html'), page, role=cell.source.startswith('show_doc(')
            )
        if cell.source.startswith('show_doc('):
            as_markdown(cell, documented(cell))
    return nb


def source_below(text):
    """nbdev's link to the source, which would end the section before, put below the title, with our
    address"""

    def moved(m):
        at = repository.link(m[1])
        return m[2] + (f'\n[source]({at})\n' if at else '')

    return re.sub(r'^\[source\]\(\S*/(rnnlm/\S+)\).*\n+(#+ .*\n)', moved, text)


def documented(cell):
    "What nbdev wrote about a function or class, which the cell asked for"
    text = ''.join(''.join(o.data.get('text/markdown', '')) for o in cell.outputs if 'data' in o)
    text = re.sub(r'^---\n+', '', text)
    # a default that is a function, by its name: its address is another one in each build
    text = re.sub(r'<function (?:\w+\.)*(\w+) at 0x[0-9a-f]+>', r'\1', text)
    return source_below(text)


def as_markdown(cell, text):
    "Put `text` in the place of the cell"
    cell.update(cell_type='markdown', source=text, metadata={})
    cell.pop('outputs', None)
    cell.pop('execution_count', None)


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
    said = iter([o.metadata.figure for o in nb.cells if any(o.metadata.get('figure', []))])
    # output_10_0.svg comes after output_9_0.svg
    drawn = sorted(made['outputs'], key=lambda name: [int(o) for o in re.findall(r'\d+', name)])
    for i, name in enumerate(drawn):
        data = made['outputs'][name]
        path, dark_path = (f'nbs/images/index_{i}{o}.svg' for o in ('', '_dark'))
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_bytes(data)
        (root / dark_path).write_text(figures.in_dark(data.decode()), encoding='utf-8')
        alt, caption = next(said)
        shown = figures.picture(alt, path, dark_path, caption)
        body = re.sub(rf'!\[[^]]*\]\({name}\)', lambda m: shown, body)
    body = re.sub(r'\]\((?!https?:|#|mailto:)(\.\./)?', lambda m: '](' if m[1] else '](nbs/', body)
    body = re.sub(r'\n{3,}', '\n\n', body).strip() + '\n'
    (root / 'README.md').write_text(body, encoding='utf-8')


if __name__ == '__main__':
    readme()
