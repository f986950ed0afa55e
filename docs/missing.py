"""The page that a server shows for an address that is none, 404.html.

The address can be of any depth, so what the page loads and links to has to begin at the top of the
server. Our pages know only the way from one to another; this one is changed when it is written."""

import re
from pathlib import Path

import repository

page = '404'
starts = {
    'index': 'Home: what this is, and where to start',
    'chapter/01_data': 'The first lesson of the course',
    'chapter/04_lstm': 'In a hurry: how an LSTM remembers',
}


def absolute(text, base):
    """The page with addresses that begin at `base`, where they lead to another of our files; other
    servers, and places on the page itself, are where they were"""
    text = re.sub(
        r'\b(href|src|action)="(?!#|/|[a-z]+:)(?:\./)?([^"]*)"',
        lambda m: f'{m[1]}="{base}{m[2]}"',
        text,
    )
    return re.sub(r'data-content_root="[^"]*"', f'data-content_root="{base}"', text)


def offer(app, name, template, context, doctree):
    "What the page offers: of the places to start from those that there are"
    if name == page:
        context['starts'] = [(o, said) for o, said in starts.items() if o in app.env.found_docs]


def write(app, error):
    "Put the addresses right"
    path = Path(app.outdir) / f'{page}.html'
    if error is None:
        text = path.read_text(encoding='utf-8')
        path.write_text(absolute(text, repository.base()), encoding='utf-8')


def setup(app):
    app.connect('html-page-context', offer)
    app.connect('build-finished', write)
    return dict(parallel_read_safe=True, parallel_write_safe=True)
