"""How code folds on the site: what the library exports behind its signature, and what only draws
behind a line that says so.

`fold` is for cells.py, which reads the notebooks. `setup` is for Sphinx: it writes the
summaries."""

import ast
import html
import re

from api import errors, sentence

draws = re.compile(r'\b(plt|ax|axes|fig)\.')
# what one sees while it is folded, and while it is open
plain = {
    'figure': ('Show how this figure is drawn', 'Hide how this figure is drawn'),
    'helper': ('Show how the figures are drawn', 'Hide how the figures are drawn'),
    'code': ('Show the code', 'Hide the code'),
}


def signature(node, source):
    "The head of a class or function, without the types and comments that its parameters have"
    if isinstance(node, ast.ClassDef):
        bases = ', '.join(ast.unparse(o) for o in node.bases)
        return f'class {node.name}({bases})' if bases else f'class {node.name}'
    args = node.args
    positional = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(positional) - len(args.defaults)) + args.defaults

    def shown(arg, default):
        # as it is written: 9_999 and not 9999
        return arg.arg + (f'={ast.get_source_segment(source, default)}' if default else '')

    parts = [shown(*o) for o in zip(positional, defaults)]
    if args.vararg:
        parts.append(f'*{args.vararg.arg}')
    elif args.kwonlyargs:
        parts.append('*')
    parts += [shown(*o) for o in zip(args.kwonlyargs, args.kw_defaults)]
    if args.kwarg:
        parts.append(f'**{args.kwarg.arg}')
    name = node.name
    if any('patch' in ast.unparse(o) for o in node.decorator_list):
        name = f'{ast.unparse(positional[0].annotation)}.{name}'
        parts.pop(0)
    return f"{name}({', '.join(parts)})"


def summaries(source):
    """What a cell defines, `(signature, docstring)` a line; of docstrings the first line, less the
    errors. Of several private functions there are just the names, in one line. A cell that defines
    nothing has the names of its constants, or "imports" """
    found, helpers, constants = [], [], []
    tree = ast.parse(source)
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            said = errors.match((ast.get_docstring(node) or '').split('\n')[0])[1]
            line = signature(node, source), sentence(said)
            if node.name.startswith('_') and not node.name.startswith('__'):
                helpers.append((node.name, line))
            else:
                found.append(line)
        elif isinstance(node, ast.Assign):
            constants += [o.id for o in node.targets if isinstance(o, ast.Name)]
    if helpers and not found and len(helpers) == 1:
        found.append(helpers.pop()[1])
    if helpers:
        found.append((', '.join(name for name, _ in helpers), ''))
    if found:
        return found
    if constants:
        return [(', '.join(constants), '')]
    imports = all(isinstance(o, (ast.Import, ast.ImportFrom)) for o in tree.body)
    return [('imports' if imports else 'code', '')]


def fold(cell, directives):
    """Mark a cell whose code is to be folded; `directives` are its lines `#| name: value`. What the
    library exports is, unless it says `#| open` (not `code-fold: show`: nbdev would export that)"""
    tags = cell.metadata.setdefault('tags', [])
    exported = directives.keys() & {'export', 'exporti', 'exports'}
    if exported and 'open' not in directives:
        tags.append('hide-input')
        cell.metadata['fold'] = summaries(cell.source)
    elif directives.get('code-fold') == 'true':
        tags.append('hide-input')
        shows = any('image/png' in o.get('data', {}) for o in cell.outputs)
        vector = any('image/svg+xml' in o.get('data', {}) for o in cell.outputs)
        kind = 'figure' if shows or vector else 'helper' if draws.search(cell.source) else 'code'
        show, hide = plain[kind]
        prompts = dict(code_prompt_show=show, code_prompt_hide=hide)
        cell.metadata.setdefault('mystnb', {}).update(prompts)


def marked_up(text):
    "A docstring as HTML: what stands between backticks is code"
    parts = html.escape(text, quote=False).split('`')
    return ''.join(f'<code>{o}</code>' if i % 2 else o for i, o in enumerate(parts))


def summary(node):
    "The line, or lines, behind which the code of a cell is folded"
    lines = node.parent['cell_metadata'].get('fold')
    if not lines:
        texts = dict(closed=node['prompt_show'], opened=node['prompt_hide'])
        return [f'<span class="fold-{k}">{html.escape(o)}</span>' for k, o in texts.items()]
    found = []
    for head, said in lines:
        said = f' <span class="fold-said">{marked_up(said)}</span>' if said else ''
        found.append(f'<span class="fold-line"><code>{html.escape(head)}</code>{said}</span>')
    return found


def opened(self, node):
    kind = 'fold fold-exported' if 'fold' in node.parent['cell_metadata'] else 'fold'
    self.body.append(f'<details class="{kind}">\n<summary>{"".join(summary(node))}</summary>\n')


def closed(self, node):
    self.body.append('</details>\n')


def setup(app):
    # not above: cells.py makes README.md where there may be no MyST-NB
    from myst_nb.sphinx_ import HideCodeCellNode

    # MyST-NB's own has one name for all of them, "Toggle hidden content"
    app.add_node(HideCodeCellNode, override=True, html=(opened, closed))
    return dict(parallel_read_safe=True, parallel_write_safe=True)
