"""The site's search: what search.js looks through, written as a script.

Sphinx's own search loads its index with every page, knows no typing errors, and can't show a line
of text when the site is opened from a disk. So we switch it off. In its place, a script holds the
text of each section, `_static/search_index.js`, which is loaded only when somebody searches."""

import json
import re
from pathlib import Path

import yaml
from docutils import nodes
from sphinx import addnodes

# What nobody looks for, or what would stand in a snippet as noise: code, outputs, formulas of a
# line of their own, parameters, tables of names that follow as entries.
noise = (
    nodes.literal_block,
    nodes.math_block,
    nodes.raw,
    nodes.image,
    nodes.field_list,
    nodes.Invisible,
    addnodes.desc_signature,
    addnodes.toctree,
)
signs = dict(odot='⊙', times='×', cdot='·', sigma='σ', le='≤', ge='≥', approx='≈')
# Lessons come before the rest, and the reference after it, where the words fit both equally well.
weights = {'The chapter': 1, 'Try it': 0.95, 'Replication': 0.9, 'Beyond': 0.9}
other_weight = 0.7
# These two have a word on everything that the lessons explain.
about_all = {'chapter/11_questionnaire': 0.8, 'chapter/12_errata': 0.8}


def plain(tex):
    "A short formula as one would read it"
    tex = re.sub(r'\\([a-zA-Z]+)', lambda m: signs.get(m[1], ' '), tex)
    return re.sub(r'[{}\\^_]', '', tex)


def inner(node):
    "The nodes below `node` that are neither noise nor an entry of their own"
    own = (nodes.section, addnodes.desc, nodes.title, *noise)
    outputs = ('cell', 'cell_input', 'cell_output')
    for o in node.children:
        if isinstance(o, own) or type(o).__name__.startswith('autosummary'):
            continue
        if isinstance(o, nodes.Element) and set(o.get('classes', [])) & set(outputs):
            continue
        yield o


def blocks(node):
    "The text of each paragraph, cell of a table and so on, one by one"
    if isinstance(node, nodes.TextElement):
        yield line(node)
        return
    for o in inner(node):
        if not isinstance(o, nodes.Text):
            yield from blocks(o)


def line(node):
    "The text inside a paragraph"
    if isinstance(node, nodes.Text):
        return node.astext()
    if isinstance(node, nodes.math):
        return plain(node.astext())
    return ''.join(map(line, inner(node)))


def text(node):
    "All text of a section that no section below it has"
    said = ''
    for o in blocks(node):
        o = ' '.join(o.split())
        if not o:
            continue
        if said:
            said += ' ' if said[-1] in '.?!:;,' else ' · '
        said += o
    return said


def entries(doctree):
    """The sections of a page and the things that a page of the reference defines: `[anchor,
    heading, text]`, the page's own first, without an anchor"""
    found = []
    for node in doctree.findall(lambda o: isinstance(o, (nodes.section, addnodes.desc))):
        if isinstance(node, nodes.section):
            heading = line(node.next_node(nodes.title)).strip()
            found.append([node['ids'][0] if found else '', heading, text(node)])
            continue
        signature = node.next_node(addnodes.desc_signature)
        if not signature or not signature.get('ids'):
            continue
        content = node.next_node(addnodes.desc_content)
        said = re.sub(r'^Bases: .*? · ', '', text(content)) if content else ''
        found.append([signature['ids'][0], signature.get('fullname') or signature.astext(), said])
    return found


def menu(path):
    "The caption that each page stands below in the menu, and the name that it has there, if any"
    toc = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    found = {toc['root']: ('', None)}
    todo = [(o, part['caption']) for part in toc['subtrees'] for o in part['entries']]
    while todo:
        entry, caption = todo.pop()
        found[entry['file']] = caption, entry.get('title')
        todo += [(o, caption) for o in entry.get('entries', [])]
    return found


def index(env, places):
    "All pages, each `[address, title, other names, part of the menu, weight, its entries]`"
    found = []
    for page in sorted(env.found_docs & places.keys()):
        sections = entries(env.get_doctree(page))
        if not sections:
            continue
        part, called = places[page]
        file = re.sub(r'^\d+[a-z]?_', '', page.rpartition('/')[2]).replace('_', ' ')
        names = [o for o in (file, called) if o]
        weight = about_all.get(page, weights.get(part, other_weight))
        found.append([f'{page}.html', sections[0][1], names, part, weight, sections])
    return found


def write(app, error):
    "The index, where search.js looks for it"
    if error is not None:
        return
    static = Path(app.outdir) / '_static'
    found = index(app.env, menu(Path(app.srcdir) / app.config.external_toc_path))
    data = json.dumps(found, ensure_ascii=False, separators=(',', ':'))
    script = f'window.SEARCH_INDEX={data};\n'
    (static / 'search_index.js').write_text(script, encoding='utf-8')


def off(app):
    "Sphinx's search makes no index and no page; ours is one of html_additional_pages"
    app.builder.search = False


def setup(app):
    app.connect('builder-inited', off)
    app.connect('build-finished', write)
    return dict(parallel_read_safe=True, parallel_write_safe=True)
