"""Gather in _proc/ all that the site is made of: notebooks as nbdev processes them, this folder's
pages, and those made from the source.

Nothing that is unchanged is written anew, so that Sphinx builds only what has changed (`make
serve`)."""

import json
import os
import re
from pathlib import Path

import nbdev.serve
import yaml
from execnb.nbio import nb2dict, read_nb
from fastcore.parallel import parallel
from nbdev.process import NBProcessor
from nbdev.processors import add_links

import api
import bibliography
import cells
import figures
import repository

root = Path(__file__).parent.parent
out = root / '_proc'
# Notebooks to be read from start to end: all code is there, in its order, and folds (folds.py).
# nbdev would leave out much of it and document each name instead, as it does in the others.
lessons = ('chapter', 'beyond')


def put(name, text):
    "Write `text` to `name`, unless that is what it holds"
    path = out / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding='utf-8') != text:
        path.write_text(text, encoding='utf-8')


def contents(modules):
    """The table of contents, less the notebooks that are not there, which are named; below the
    reference a page a module"""
    toc = yaml.safe_load((root / 'docs/_toc.yml').read_text(encoding='utf-8'))
    for part in toc['subtrees']:
        for o in part['entries']:
            if o['file'] == 'reference':
                o['entries'] = [dict(file=m) for m in modules]

    def there(entry):
        return any((out / f"{entry['file']}{s}").exists() for s in ('.ipynb', '.md', '.rst'))

    for part in toc['subtrees']:
        gone = [o['file'] for o in part['entries'] if not there(o)]
        if gone:
            print('Left out of the contents, since there is no such page:', ', '.join(gone))
        part['entries'] = [o for o in part['entries'] if there(o)]
    return yaml.safe_dump(
        toc | dict(subtrees=[o for o in toc['subtrees'] if o['entries']]),
        sort_keys=False,
        allow_unicode=True,
    )


def cite():
    "How to cite, from CITATION.cff"
    cff = yaml.safe_load((root / 'CITATION.cff').read_text(encoding='utf-8'))

    def people(o):
        return ' and '.join(
            '{' + a['name'] + '}' if 'name' in a else f"{a['family-names']}, {a['given-names']}"
            for a in o['authors']
        )

    def bib(kind, key, **fields):
        return [f'@{kind}{{{key},', *(f'  {k} = {{{v}}},' for k, v in fields.items()), '}']

    at = repository.address()
    url = dict(url=at) if at else {}
    own = bib(
        'software',
        repository.settings()['lib_name'],
        title='{' + cff['title'] + '}',
        author=people(cff),
        version=cff['version'],
        year=cff['date-released'].year,
        **url,
    )
    refs = []
    for o in cff['references']:
        key = f"{o['authors'][0]['family-names'].lower()}{o['year']}"
        extra = (
            {'publisher': o['publisher']['name']}
            if 'publisher' in o
            else {'note': ', '.join(i['value'] for i in o.get('identifiers', []))}
        )
        refs += [
            '',
            *bib(
                o['type'],
                key,
                title='{' + o['title'] + '}',
                author=people(o),
                year=o['year'],
                **extra,
            ),
        ]
    return '\n'.join(
        [
            '# Cite',
            '',
            cff['message'],
            '',
            '```bibtex',
            *own,
            *refs,
            '```',
            '',
            'In the Citation File Format: [CITATION.cff](CITATION.cff). '
            'The licence of code and prose is [Apache 2.0](LICENSE).',
            '',
        ]
    )


def named(nb, page):
    "A notebook with its page's name in it, which tells `cells.read` where its links start from"
    nb['metadata']['page'] = page
    return json.dumps(nb, ensure_ascii=False, indent=1)


def side_by_side(f, files, **kwargs):
    """nbdev's way to process notebooks, two at a time, but by processes that know what this one has
    imported where the system can do that"""
    return parallel(f, files, **kwargs | dict(method=None))


def with_widgets(text, page):
    "The page `text` with the widgets that its lines `<!-- widget: NAME -->` ask for"
    asked = re.compile(r'^<!-- widget: ([\w-]+) -->$', re.M)
    return asked.sub(lambda found: cells.widget(found[1], page), text)


def lesson(path):
    "The notebook at `path` as it is, but for links from names to what nbdev documents"
    nb = read_nb(path)
    NBProcessor(nb=nb, procs=[add_links], rm_directives=False).process()
    return nb2dict(nb)


def main():
    os.chdir(root)
    nbdev.serve.parallel = side_by_side
    nbdev.serve.proc_nbs(n_workers=2, skip_folder_re=f"^([_.]|({'|'.join(lessons)})$)")
    nbs = root / 'nbs'
    for path in (path for folder in lessons for path in nbs.glob(f'{folder}/*.ipynb')):
        page = path.relative_to(nbs).with_suffix('').as_posix()
        put(f'{page}.ipynb', named(lesson(path), page))
    for name in ('CONTRIBUTING.md', 'CHANGELOG.md', 'CITATION.cff', 'LICENSE'):
        put(name, re.sub(r'\]\(nbs/', '](', (root / name).read_text(encoding='utf-8')))
    for path in (root / 'docs').glob('*.md'):
        text = re.sub(r'\]\((\.\./)?nbs/', '](', path.read_text(encoding='utf-8'))
        put(path.name, with_widgets(text, path.stem))
    reference = api.pages()
    for name, text in reference.items():
        put(name, text)
    put('cite.md', cite())
    put('bibliography.md', bibliography.page())
    put('_static/palette.css', figures.stylesheet())
    for path in out.rglob('*.ipynb'):
        page = path.relative_to(out).with_suffix('').as_posix()
        if page.split('/')[0] not in lessons:
            put(f'{page}.ipynb', named(json.loads(path.read_text(encoding='utf-8')), page))
    put(
        '_toc.yml',
        contents([Path(o).with_suffix('').as_posix() for o in reference if o.startswith('api/')]),
    )


if __name__ == '__main__':
    main()
