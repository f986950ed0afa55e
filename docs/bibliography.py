"""One bibliography for all notebooks: the papers of bibliography.yaml, and where each is cited."""

import json
import re
from collections import defaultdict
from pathlib import Path
from urllib.parse import unquote

import yaml

root = Path(__file__).parent.parent
arxiv = re.compile(r'arxiv\.org/(?:abs|pdf)/(\d{4}\.\d{4,5})')
doi = re.compile(r'doi\.org/(10\.(?:[^()\s]|\([^()\s]*\))+)')
proceedings = re.compile(r'((?:jmlr\.org/papers|proceedings\.mlr\.press)/[\w./-]+\.html)')


def papers():
    "The fields of each paper, by its arXiv number, DOI or address"
    return yaml.safe_load((root / 'docs/bibliography.yaml').read_text(encoding='utf-8'))


def cited():
    "What the notebooks cite: the notebooks and their titles, for each paper"
    found = defaultdict(dict)
    for path in sorted((root / 'nbs').rglob('*.ipynb')):
        if '.ipynb_checkpoints' in path.parts:
            continue
        cells = json.loads(path.read_text(encoding='utf-8'))['cells']
        text = '\n'.join(''.join(o['source']) for o in cells if o['cell_type'] == 'markdown')
        title = re.search(r'^# (.+)$', text, re.M)[1]
        dois = [unquote(o) for o in doi.findall(text)]
        for name in [*arxiv.findall(text), *dois, *proceedings.findall(text)]:
            found[name][path.relative_to(root / 'nbs').as_posix()] = title
    return dict(found)


def link(name):
    "Markdown for the address of a paper"
    if name.startswith('10.'):
        return f'[doi:{name}](<https://doi.org/{name}>)'
    if proceedings.fullmatch(name):
        return f'[{name.split("/")[0]}](https://{name})'
    return f'[arXiv:{name}](https://arxiv.org/abs/{name})'


def page():
    "The page, in Markdown, by first author and year; `ValueError` for what no notebook explains"
    known, where = papers(), cited()
    for name in where.keys() - known.keys():
        raise ValueError(f'{[*where[name]][0]} cites {name}, which docs/bibliography.yaml lacks')

    def first_author(name):
        author = re.split(r', | and ', known[name]['by'])[0]
        return author.split()[-1].lower(), known[name]['year']

    intro = 'The papers that the notebooks build on, and where you meet them.'
    lines = ['# Bibliography', '', intro, '']
    for name in sorted(known, key=first_author):
        o = known[name]
        venue = f' *{o["in"]}*.' if 'in' in o else ''
        places = ', '.join(f'[{title}]({path})' for path, title in where.get(name, {}).items())
        who = f'- {o["by"]} ({o["year"]})'
        lines.append(f'{who}. {o["title"]}.{venue} {link(name)}. Cited in {places}.')
    return '\n'.join(lines) + '\n'
