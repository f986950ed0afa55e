"""The API pages: what Sphinx's autodoc is to show, and how it reads nbdev's docments.

`pages` writes an overview and a page a module. The hooks that `setup` connects turn the comment
behind a parameter into its field, the errors at the end of a docstring into theirs, and say
which part of which notebook explains a thing."""

import ast
import functools
import importlib
import inspect
import json
import posixpath
import re
from pathlib import Path

from fastcore.docments import docments

root = Path(__file__).parent.parent
errors = re.compile(r'(.*?)(?:; )?((?:`\w*Error`(?:, | or )?)+ .*|errors as .*)?$', re.S)


def slug(title):
    "The anchor that MyST gives a heading"
    return re.sub(r'[^\w\- ]', '', title.strip().lower().replace('`', '')).replace(' ', '-')


def sections(path):
    """The heading that each cell of a notebook stands under, `(title, anchor)` by cell id, and the
    notebook's title"""
    found, title, at = {}, None, None
    for cell in json.loads(path.read_text(encoding='utf-8'))['cells']:
        if cell['cell_type'] == 'markdown':
            for level, text in re.findall(r'^(#+) (.+)$', ''.join(cell['source']), re.M):
                title = title or text
                if len(level) <= 4:
                    at = text, slug(text)
        found[cell['id']] = at
    return found, title


def sentence(text):
    "`text` with a capital first and a stop last"
    return (text if text.startswith('fastai') else text[:1].upper() + text[1:]) + (
        '' if not text or text[-1] in '.?!:)' else '.'
    )


class Module:
    "A module's source, and the notebook that it was exported from"

    def __init__(self, path):
        self.path = path.relative_to(root).as_posix()
        self.name = self.path.removesuffix('.py').replace('/', '.')
        self.page = 'api/' + self.path.removesuffix('.py').split('/', 1)[1]
        text = path.read_text(encoding='utf-8')
        self.lines, tree = text.splitlines(), ast.parse(text)
        self.doc = ast.get_docstring(tree) or ''
        nodes = {getattr(o, 'name', None): o for o in tree.body}
        nodes |= {
            n.id: o
            for o in tree.body
            if isinstance(o, ast.Assign)
            for n in ast.walk(o.targets[0])
            if isinstance(n, ast.Name)
        }
        self.all = ast.literal_eval(nodes['__all__'].value) if '__all__' in nodes else []
        self.assigned = {k: o for k, o in nodes.items() if isinstance(o, ast.Assign)}
        marks = [
            (i, m)
            for i, o in enumerate(self.lines, 1)
            if (m := re.match(r'# %% [./]*nbs/(\S+)\.ipynb #(\w+)', o))
        ]
        self.cells = [(i, m[2]) for i, m in marks]
        self.nb = marks[0][1][1] if marks else None
        self.sections, self.title = (
            sections(root / f'nbs/{self.nb}.ipynb') if self.nb else ({}, None)
        )

    def to(self, page):
        "The address of another page of the site, from this module's"
        return posixpath.relpath(page, posixpath.dirname(self.page))

    def explained(self, line):
        "The heading that what begins at `line` is explained under, as `(title, anchor)`, or None"
        above = [cell for i, cell in self.cells if i <= line]
        return self.sections.get(above[-1]) if above else None

    def comment(self, name):
        "What the comment behind a constant says of it, and its value if that is short"
        node = self.assigned[name]
        said = re.search(r'\s# (.+)$', self.lines[node.lineno - 1])
        value = ast.unparse(node.value)
        return said[1] if said else '', value if len(value) < 100 and not isinstance(
            node.value, ast.Tuple
        ) else ''


@functools.cache
def modules():
    "The public modules by name, in the order in which their notebooks build on each other"
    found = [Module(p) for p in (root / 'rnnlm').rglob('*.py') if not p.stem.startswith('_')]
    order = ['index', 'chapter', 'replication', 'beyond']
    found.sort(key=lambda o: (order.index(o.nb.split('/')[0]) if o.nb else 9, o.nb or '', o.name))
    return {o.name: o for o in found}


@functools.cache
def places():
    "The modules that each public function or class is in, by its name"
    found = {}
    for o in modules().values():
        for name in o.all:
            if name not in o.assigned:
                found.setdefault(name, []).append(o.name)
    return found


def rst(text, here='', own=()):
    """Markdown, as our docstrings and comments have it, as reStructuredText; names of public things
    become links, but not `own` ones"""

    def code(name):
        there = [] if name in own else places().get(name, [])
        module = here if here in there else there[0] if len(there) == 1 else None
        return f':py:obj:`~{module}.{name}`' if module else f'``{name}``'

    def plain(o):
        return re.sub(r'([\\*|]|_\b)', r'\\\1', o)

    parts = re.split(r'`([^`\n]+)`', text)
    text = ''.join(f'\0{code(o)}\0' if i % 2 else plain(o) for i, o in enumerate(parts))
    return re.sub(r'(?<=\w)\0|\0(?=\w)', r'\\ ', text).replace(
        '\0', ''
    )  # a mark and a letter have to be parted


def found_at(obj):
    "The file and the first and last line of what defines `obj`, or None"
    obj = inspect.unwrap(getattr(obj, 'fget', None) or getattr(obj, '__func__', None) or obj)
    try:
        lines, first = inspect.getsourcelines(obj)
        path = Path(inspect.getsourcefile(obj)).resolve().relative_to(root)
    except (OSError, TypeError, ValueError):
        return None
    return path.as_posix(), first, first + len(lines) - 1


def arguments(obj):
    "The parameters of a function or class by name"
    try:
        return inspect.signature(obj).parameters
    except (TypeError, ValueError):
        return {}


def params(obj):
    "What the docments of a function or class say: of each parameter, and of the result"
    obj = inspect.unwrap(getattr(obj, '__func__', None) or obj)
    said = {k: v for k, v in docments(obj, args_kwargs=True).items() if v}
    returns = said.pop('return', None)
    if (
        not returns
        and inspect.isfunction(obj)
        and (m := re.search(r'^\s*\):\s*# (.+)$', inspect.getsource(obj), re.M))
    ):
        returns = m[1]  # docments asks for an annotation
    kinds = {k: o.kind for k, o in arguments(obj).items()}
    stars = {inspect.Parameter.VAR_POSITIONAL: '\\*', inspect.Parameter.VAR_KEYWORD: '\\*\\*'}
    said = {
        stars.get(kinds.get(k), '') + k: v
        for k, v in said.items()
        if v != returns and k not in ('self', 'cls')
    }
    return said, None if inspect.isclass(obj) else returns


def owner(name):
    "The module that a full name is in, and the rest of the name"
    parts = name.split('.')
    for i in range(len(parts), 0, -1):
        if module := modules().get('.'.join(parts[:i])):
            return module, '.'.join(parts[i:])
    return None, name


def docstring(app, what, name, obj, options, lines):
    """Hook of autodoc: the docstring's text, then parameters, result and errors as fields, then
    where it is explained"""
    module, rest = owner(name)
    if module is None:
        return
    if what == 'module':
        lines[:] = [rst(module.doc, module.name), '']
        return
    if rest in module.assigned:
        said, value = module.comment(rest)
        out = [rst(sentence(said), module.name), *(['', f'Value: ``{value}``'] if value else [])]
        at = module.explained(module.assigned[rest].lineno)
    else:
        obj = getattr(obj, 'fget', None) or obj  # of a property
        # the section that rnnlm/__init__.py adds says what the fields below say
        text = '\n'.join(lines).partition('\n\nParameters\n')[0]
        text, raised = errors.match(text.strip()).groups()
        said, returns = params(obj) if callable(obj) else ({}, None)
        as_rst = functools.partial(rst, here=module.name, own=arguments(obj))
        out = [as_rst(sentence(text)), '']
        out += [f':param {k}: {as_rst(o)}'.replace('\n', ' ') for k, o in said.items()]
        out += [f':raises: {as_rst(raised)}'] if raised else []
        out += [f':returns: {as_rst(returns)}'] if returns else []
        at = heading(module, obj)
        if '.' in rest and at == heading(
            module, getattr(importlib.import_module(module.name), rest.split('.')[0])
        ):
            at = None  # its class says so
    if at and module.nb:
        title = re.sub(r'[`<>]', '', at[0])
        out += ['', f"Explained in `{title} <{module.to(module.nb)}.html#{at[1]}>`__"]
    lines[:] = [*'\n'.join(out).splitlines(), '']


def heading(module, obj):
    "The heading that `obj` is explained under, if it is defined in `module`"
    found = found_at(obj)
    return module.explained(found[1]) if found and found[0] == module.path else None


def skip(app, what, name, obj, skipped, options):
    "Hook of autodoc: a function that is a field's default is not a method"
    return True if what == 'class' and isinstance(obj, functools.partial) else None


def signature(app, what, name, obj, options, text, returns):
    "Hook of autodoc: a default that is a function or class is shown by its name"
    return text and re.sub(r"<(?:function|class) '?(?:\w+\.)*(\w+)'?>", r'\1', text), returns


def source(domain, info):
    "For Sphinx's linkcode: the address of the lines that define a thing"
    module = modules().get(info['module'])
    if module is None:
        return None
    if node := module.assigned.get(info['fullname']):
        found = module.path, node.lineno, node.end_lineno
    else:
        obj = importlib.import_module(module.name)
        for part in info['fullname'].split('.'):
            obj = inspect.getattr_static(obj, part)
        found = found_at(obj)
    return found and '{}#L{}-L{}'.format(*found)


def page(module):
    """The page of one module: a table of all names, its constants, then functions and classes in
    the order of their definition"""
    made = [f'Made in `{module.title} <{module.to(module.nb)}.html>`__.', ''] if module.nb else []
    constants = [o for o in module.all if o in module.assigned]
    inner = [
        *made,
        '.. autosummary::',
        '   :nosignatures:',
        '',
        *(f'   {o}' for o in module.all),
        '',
    ]
    inner += [f'.. autodata:: {module.name}.{o}\n' for o in constants]
    inner = [f'   {o}' for part in inner for o in part.split('\n')]
    left_out = [f"   :exclude-members: {', '.join(constants)}"] if constants else []
    return '\n'.join(
        [
            module.name,
            '=' * len(module.name),
            '',
            f'.. automodule:: {module.name}',
            '   :members:',
            *left_out,
            '',
            *inner,
            '',
        ]
    )


def pages():
    "The text of each page by its path: an overview, and one a module"
    modules.cache_clear()  # while the site is served, sources change
    places.cache_clear()
    rows = [
        f'| [{o.name}]({o.page}.rst) | {o.doc} | {f"[{o.title}]({o.nb}.ipynb)" if o.nb else ""} |'
        for o in modules().values()
    ]
    front = [
        '# API reference',
        '',
        'What `import rnnlm` offers, a page a module, in the order in which they build on '
        'each other. '
        'Each is exported from the notebook that explains it.',
        '',
        '| module | what it holds | notebook |',
        '|---|---|---|',
        *rows,
        '',
    ]
    return {'reference.md': '\n'.join(front)} | {
        f'{o.page}.rst': page(o) for o in modules().values()
    }


def setup(app):
    app.connect('autodoc-process-docstring', docstring)
    app.connect('autodoc-process-signature', signature)
    app.connect('autodoc-skip-member', skip)
    return dict(parallel_read_safe=True, parallel_write_safe=True)
