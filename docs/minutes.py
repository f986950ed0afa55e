"""How long a lesson takes to read, computed from its notebook, and where the site says so: below
its title, and beside its name in the menu."""

import posixpath
import re
from functools import cache

import cells
import pages

hidden = {'remove-input', 'remove-cell', 'hide-input'}


@cache
def minutes(path):
    """Minutes to read the notebook at `path`: 200 words of prose a minute, and ten seconds for a
    cell of code.

    Answers that are folded away belong to the exercises and do not count, nor does folded or
    hidden code. Most people read prose a little faster, but not when every paragraph explains
    something new."""
    nb = cells.read(path.read_text(encoding='utf-8'))
    prose = ' '.join(o.source for o in nb.cells if o.cell_type == 'markdown')
    prose = re.sub(r'<details>.*?</details>|```.*?```', ' ', prose, flags=re.S)
    words = len(re.findall(r'[^\W\d_]+(?:[’\'-]\w+)*', prose))
    code = [o for o in nb.cells if o.cell_type == 'code']
    shown = [o for o in code if not hidden & set(o.metadata.get('tags', []))]
    return max(1, round(words / 200 + len(shown) / 6))


def lesson(page):
    "The notebook that a page is made from, or None; the home page is no lesson"
    path = pages.root / f'nbs/{page}.ipynb'
    return path if page != 'index' and path.exists() else None


def in_menu(menu, page):
    "The menu of `page` with the minutes beside the name of each lesson"

    def link(m):
        there = posixpath.join(posixpath.dirname(page), m[2])
        to = page if m[2] == '#' else posixpath.normpath(there).removesuffix('.html')
        path = lesson(to)
        time = f' <span class="minutes">{minutes(path)} min</span>' if path else ''
        return f'{m[1]}{m[3].rstrip()}{time}</a>'

    return re.sub(r'(<a [^>]*?href="([^"]+)"[^>]*>)(.*?)</a>', link, menu, flags=re.S)


def show(app, page, template, context, doctree):
    "Put the minutes into the menu, and on the page of a lesson below its title"
    if path := doctree is not None and lesson(page):
        n = minutes(path)
        below = f'</h1>\n<p class="minutes">{n} minute{"s" * (n > 1)} to read</p>'
        context['body'] = context['body'].replace('</h1>', below, 1)
    if toc := context.get('generate_toctree_html'):
        context['generate_toctree_html'] = lambda *args, **kwargs: in_menu(
            str(toc(*args, **kwargs)), page
        )


def setup(app):
    # after the theme has made its menu
    app.connect('html-page-context', show, priority=900)
    return dict(parallel_read_safe=True, parallel_write_safe=True)
