"""What the theme and Sphinx put into the site, and no page uses, is left out of it.

`unused` names the scripts that the theme has every page load. Once the site is written,
`tidy` drops Font Awesome's rules from the theme's style sheet (icons.py draws the icons) and
`sweep` removes each file that no page shows, loads or links to."""

import html
import re
from pathlib import Path
from urllib.parse import unquote

# Icons that icons.py draws, and Sphinx's search, in whose place is search.js
unused = ('fontawesome.js', 'searchtools.js', 'language_data.js', 'searchindex.js')
# Read by other programs: other sites' Sphinx and GitHub Pages; so are the pictures in cards/
for_programs = {'objects.inv', '.nojekyll'}


def without_unused(text):
    "HTML without the scripts that are not used"
    names = '|'.join(map(re.escape, unused))
    return re.sub(rf'<script[^>]* src="[^"]*/?(?:{names})(?:\?[^"]*)?"[^>]*></script>\s*', '', text)


def lean(app, page, template, context, doctree):
    context['without_unused'] = without_unused


def tidy(out):
    "Font Awesome's rules out of the theme's style sheet; no scripts or sheets name maps of theirs"
    for path in sorted((out / '_static').rglob('*.css')) + sorted((out / '_static').rglob('*.js')):
        old = text = path.read_text(encoding='utf-8')
        text = re.sub(r'\n?(//|/\*)# sourceMappingURL=\S+?\s*(\*/)?\s*$', '\n', text)
        if path.suffix == '.css':
            text = re.sub(r'@font-face\{[^}]*Font Awesome[^}]*\}', '', text)
            text = re.sub(r'(?<=[}/])\s*\.fa-[\w-]+(,\.fa-[\w-]+)*\{--fa:[^{}]*\}', '', text)
        if text != old:
            path.write_text(text, encoding='utf-8')


def mentioned(path, files):
    "Those of `files` that the file at `path` shows, loads or links to"
    text = path.read_text(encoding='utf-8', errors='ignore')
    if path.suffix == '.html':
        said = re.findall(r'\b(?:href|src|srcset|poster|data|action)="([^"]+)"', text)
        said += re.findall(r'url\(([^)]+)\)', text)
    elif path.suffix in ('.css', '.svg'):
        said = re.findall(r'url\(([^)]+)\)|@import\s+["\']([^"\']+)', text)
        said = [a or b for a, b in said]
    elif path.suffix == '.js':
        # A script puts an address together from parts: the file's name has to do.
        return {o for o in files if '_static' in o.parts and o.name in text}
    else:
        return set()
    said = {unquote(html.unescape(o.strip('\'" '))).split('#')[0].split('?')[0] for o in said}
    local = {o for o in said if o and not re.match(r'\w+:|//', o)}
    return {(path.parent / o).resolve() for o in local} & files


def orphans(out):
    "The files below `out` that no page of the site shows, loads or links to"
    out = Path(out).resolve()
    files = {o for o in out.rglob('*') if o.is_file()}
    todo = {o for o in files if o.suffix == '.html' and '_static' not in o.parts}
    found = set(todo)
    while todo:
        new = mentioned(todo.pop(), files) - found
        found |= new
        todo |= new
    found |= {o for o in files if o.name in for_programs or o.parent.name == 'cards'}
    return sorted(files - found)


def sweep(app, error):
    "Tidy up, and remove the files that nothing leads to, and folders that are empty then"
    if error is not None or app.builder.format != 'html':
        return
    out = Path(app.outdir)
    tidy(out)
    for path in orphans(out):
        path.unlink()
    for folder in sorted((o for o in out.rglob('*') if o.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def setup(app):
    app.connect('html-page-context', lean)
    app.connect('build-finished', sweep, priority=950)
    return dict(parallel_read_safe=True, parallel_write_safe=True)
