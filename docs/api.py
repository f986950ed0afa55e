"""The pages of the API reference, one a module, from the source alone: nothing is imported.

A parameter's meaning stands in a comment behind it (nbdev's docments), the errors in the docstring's last part, and
where a function comes from in nbdev's comment above it. `pages` turns them into MyST, with the directives of Sphinx's Python domain.
"""
import ast
import io
import json
import re
import tokenize
from pathlib import Path


def comments(text):
    "Each line's trailing comment, without its `#`"
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {o.start[0]: o.string.lstrip('# ') for o in tokens if o.type == tokenize.COMMENT and o.line[:o.start[1]].strip()}


def slug(title):
    "The anchor that MyST gives a heading"
    return re.sub(r'[^\w\- ]', '', title.strip().lower().replace('`', '')).replace(' ', '-')


def sections(nb):
    "The heading that each cell stands under: `(title, anchor)` by cell id, and the notebook's title"
    found, title, at = {}, None, None
    for cell in nb['cells']:
        if cell['cell_type'] == 'markdown':
            for level, text in re.findall(r'^(#+) (.+)$', ''.join(cell['source']), re.M):
                title = title or text
                if len(level) <= 4: at = text, slug(text)
        found[cell['id']] = at
    return found, title


def params(f, said, skip=0):
    "`(name, type, default, meaning)` of each parameter, stars in the name"
    a = f.args
    pos = a.posonlyargs + a.args
    pairs = [('', o, d) for o, d in zip(pos, [None]*(len(pos)-len(a.defaults)) + a.defaults)][skip:]
    if a.vararg: pairs.append(('*', a.vararg, None))
    pairs += [('', o, d) for o, d in zip(a.kwonlyargs, a.kw_defaults)]
    if a.kwarg: pairs.append(('**', a.kwarg, None))
    ends = [(d or o).end_lineno for _, o, d in pairs]
    return [(star + o.arg, o.annotation and ast.unparse(o.annotation), d and ast.unparse(d), said.get(n) if ends.count(n) == 1 else None)
            for (star, o, d), n in zip(pairs, ends)]


def returned(f, said):
    "`(type, meaning)` of what a function gives back"
    end = f.returns.end_lineno if f.returns else f.body[0].lineno-1
    inside = {o.end_lineno for o in ast.walk(f.args) if hasattr(o, 'end_lineno')}
    return f.returns and ast.unparse(f.returns), said.get(end) if end not in inside else None


def signature(name, ps, ret=None):
    one = [n + (f': {t}' if t else '') + (f' = {d}' if d and t else f'={d}' if d else '') for n, t, d, _ in ps]
    return f"{name}({', '.join(one)})" + (f' -> {ret}' if ret else '')


class Module:
    "One module's source, and what it says of itself"
    def __init__(self, path, root, url):
        self.name, self.path, self.url = f'rnnlm.{path.stem}', path, url
        text = path.read_text(encoding='utf-8')
        self.lines, self.tree, self.said = text.splitlines(), ast.parse(text), comments(text)
        self.doc = ast.get_docstring(self.tree) or ''
        self.all = next((ast.literal_eval(o.value) for o in self.tree.body if isinstance(o, ast.Assign) and ast.unparse(o.targets[0]) == '__all__'), [])
        cells = [(i, m[1], m[2]) for i, o in enumerate(self.lines, 1) if (m := re.match(r'# %% \.\./(nbs/\S+) #(\w+)', o))]
        self.cells, self.nb = cells, cells[0][1] if cells else None
        self.sections, self.title = sections(json.loads((root/self.nb).read_text(encoding='utf-8'))) if self.nb else ({}, None)

    def source(self, node):
        "Links to the lines that define `node`, and to where the notebook explains them"
        first = min([node.lineno, *(o.lineno for o in getattr(node, 'decorator_list', []))])
        out = f'[Source]({self.url}/{self.path.parent.name}/{self.path.name}#L{first}-L{node.end_lineno})'
        above = [c for c in self.cells if c[0] <= first]
        at = above and self.sections.get(above[-1][2])
        return out + (f' · explained in [{at[0]}](../{Path(self.nb).name}#{at[1]})' if at else '')

    def public(self):
        "Name, node and patched methods of each public thing, in order of definition"
        nodes, patched = {}, {}
        for o in self.tree.body:
            if isinstance(o, ast.FunctionDef) and any('patch' in ast.unparse(d) for d in o.decorator_list):
                patched.setdefault(ast.unparse(o.args.args[0].annotation), []).append(o)
            elif isinstance(o, (ast.FunctionDef, ast.ClassDef)): nodes[o.name] = o
            elif isinstance(o, ast.Assign):
                for t in o.targets:
                    for n in t.elts if isinstance(t, ast.Tuple) else [t]: nodes[ast.unparse(n)] = o
        return [(k, nodes[k], patched.get(k, [])) for k in nodes if k in self.all]


def body(doc, ps, ret, links):
    "Docstring, parameters, result, errors and links of one thing"
    doc = doc or ''
    m = re.match(r'(.*?)(?:; )?((?:`\w*Error`(?:, | or )?)+ .*|errors as .*)?$', doc, re.S)
    text, errors = m[1], m[2]
    out = [text[:1].upper() + text[1:] + ('' if not text or text[-1] in '.?!:)' else '.'), '']
    for n, t, d, said in ps:
        out.append(f":param {n.replace('*', chr(92)+'*')}: {said or ''}{f' (default: `{d}`)' if d and said and 'default' not in said else ''}".rstrip())
        if t: out.append(f":type {n.replace('*', chr(92)+'*')}: {t}")
    if ret[1]: out.append(f':returns: {ret[1]}')
    if errors: out.append(f':raises: {errors}')
    return [*out, '', links, '']


def fence(kind, head, inner, n, options=()): return ['`'*n + f'{{py:{kind}}} {head}', *options, '', *inner, '`'*n, '']


def class_page(mod, name, node, patched):
    defs = {o.name: o for o in node.body if isinstance(o, ast.FunctionDef)}
    init = defs.get('__init__')
    ps = params(init, mod.said, skip=1) if init else []
    bases = ', '.join(f'`{ast.unparse(o)}`' for o in node.bases)
    inner = ([f'Bases: {bases}', ''] if bases else []) + body(ast.get_docstring(node), ps, (None, None), mod.source(node))
    for f in [o for k, o in defs.items() if not k.startswith('_')] + patched:
        if not (doc := ast.get_docstring(f)): continue
        on_class = any('cls_method' in ast.unparse(d) or ast.unparse(d) == 'classmethod' for d in f.decorator_list)
        is_property = any(ast.unparse(d) == 'property' for d in f.decorator_list)
        static = any(ast.unparse(d) == 'staticmethod' for d in f.decorator_list)
        ps_f, ret = params(f, mod.said, skip=int(not static)), returned(f, mod.said)
        kind = 'property' if is_property else 'method'
        inner += fence(kind, f.name if is_property else signature(f.name, ps_f, ret[0]), body(doc, ps_f, ret, mod.source(f)), 5, [':staticmethod:'] if static else [':classmethod:'] if on_class else [])
    return fence('class', signature(name, ps), inner, 7)


def data_page(mod, name, node):
    value = ast.unparse(node.value)
    said = mod.said.get(node.lineno)
    return fence('data', name, [*([said[:1].upper() + said[1:] + '.', ''] if said else []), mod.source(node), ''], 7,
                 [f':value: {value}'] if len(value) < 100 and not isinstance(node.value, ast.Tuple) else [])


def page(mod):
    "The page of one module"
    out = [f'# {mod.name}', '', mod.doc, '', f'Made in [{mod.title}](../{Path(mod.nb).name}).' if mod.nb else '', '', f'```{{py:module}} {mod.name}', '```', '']
    parts, rows = [], []
    for name, node, patched in mod.public():
        if isinstance(node, ast.ClassDef): parts += class_page(mod, name, node, patched)
        elif isinstance(node, ast.FunctionDef):
            ps, ret = params(node, mod.said), returned(node, mod.said)
            parts += fence('function', signature(name, ps, ret[0]), body(ast.get_docstring(node), ps, ret, mod.source(node)), 7)
        else: parts += data_page(mod, name, node)
        doc = mod.said.get(node.lineno, '') if isinstance(node, ast.Assign) else (ast.get_docstring(node) or '').split('; `')[0]
        rows.append(f"| {{py:obj}}`{name}` | {doc[:1].upper() + doc[1:]} |".replace('||', '\\|\\|'))
    return '\n'.join([*out, '| name | what it is |', '|---|---|', *rows, '', *parts])


def linked(text, known, here):
    "Names of other public things, where they stand in backticks in prose, made links"
    def link(m):
        name = m[1]
        if name not in known or re.match(r'.*\{py:obj\}$', text[max(0, m.start()-10):m.start()], re.S): return m[0]
        return f'{{py:obj}}`~{known[name]}.{name}`'
    return re.sub(r'(?<!`)`([A-Za-z_]\w+)`(?!`)', link, text)


def pages(root, url):
    "The text of each page by its path: an overview, and one page a public module of rnnlm/; `url` is that of the repository's files"
    mods = [Module(p, root, url) for p in sorted((root/'rnnlm').glob('*.py')) if not p.stem.startswith('_')]
    known = {name: m.name for m in mods for name, node, _ in m.public() if not isinstance(node, ast.Assign)}
    order = sorted(mods, key=lambda m: m.nb or '')
    rows = [f'| [{m.name}](api/{m.path.stem}.md) | {m.doc} | [{m.title}]({Path(m.nb).name}) |' for m in order]
    front = ['# API reference', '', 'What `import rnnlm` offers, a page a module, in the order in which they build on each other. Each is exported from the notebook that explains it.', '',
             '| module | what it holds | notebook |', '|---|---|---|', *rows, '']
    return {'reference.md': '\n'.join(front)} | {f'api/{m.path.stem}.md': linked(page(m), known, m) for m in order}
