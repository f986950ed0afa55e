"""The icons of the site: a few shapes, drawn for it, in place of a script with thousands.

The theme marks an icon by its name in Font Awesome, `<i class="fa-solid fa-bars">`, or by a letter
of that font before or behind a text. `style` gives both our shapes, as masks that take the colour
of the text around them. A page with an icon that isn't drawn here ends the build."""

import re
from pathlib import Path
from urllib.parse import quote

from sphinx.errors import ExtensionError

sheet = 'icons.css'

# On a field of 24 by 24, drawn with a pen of 2.4; what is filled says so.
filled = 'fill="#000" stroke="none"'
shapes = {
    'angle-left': '<path d="M15 4l-8 8l8 8"/>',
    'angle-right': '<path d="M9 4l8 8l-8 8"/>',
    'arrow-up': '<path d="M12 21V4M4.5 11.5L12 4l7.5 7.5"/>',
    'bars': '<path d="M3 5.5h18M3 12h18M3 18.5h18"/>',
    'chevron-down': '<path d="M4 8.5l8 8l8-8"/>',
    'circle-half-stroke': '<circle cx="12" cy="12" r="9"/>'
    f'<path {filled} d="M12 3a9 9 0 0 0 0 18z"/>',
    'circle-info': '<circle cx="12" cy="12" r="9.5"/><path d="M12 11v6M12 6.5v.5"/>',
    'download': '<path d="M12 3v12M6 9.5l6 6l6-6M3 17v4h18v-4"/>',
    'github': '<path d="M9 7l-6 5l6 5M15 7l6 5l-6 5"/>',
    'lightbulb': '<path d="M9 17c0-3-3-4-3-8a6 6 0 0 1 12 0c0 4-3 5-3 8zM10 21.5h4"/>',
    'list': '<path d="M8.5 5.5H21M8.5 12H21M8.5 18.5H21M3 5.5h1.5M3 12h1.5M3 18.5h1.5"/>',
    'magnifying-glass': '<circle cx="10" cy="10" r="6.8"/><path d="M15.2 15.2L21.5 21.5"/>',
    'moon': f'<path {filled} d="M9.5 2.5a10 10 0 1 0 12 12a8.2 8.2 0 0 1-12-12z"/>',
    'play': f'<path {filled} d="M6 3l15 9l-15 9z"/>',
    'sun': f'<circle {filled} cx="12" cy="12" r="5"/><path d="M12 1v3M12 20v3M1 12h3M20 12h3'
    'M4.2 4.2l2.1 2.1M17.7 17.7l2.1 2.1M4.2 19.8l2.1-2.1M17.7 6.3l2.1-2.1"/>',
    'triangle-exclamation': '<path d="M12 3L1.5 21.5h21zM12 9.5v5M12 18v.5"/>',
    'xmark': '<path d="M5 5l14 14M19 5L5 19"/>',
}
# What the theme writes with the font's letters
beside = {
    'a.reference.download::before': 'download',
    'div#searchbox p.highlight-link a::before': 'xmark',
    '.admonition > .admonition-title::after': 'circle-info',
    '.admonition:is(.tip, .hint, .seealso) > .admonition-title::after': 'lightbulb',
    '.admonition:is(.attention, .caution, .danger, .error, .important, .warning)'
    ' > .admonition-title::after': 'triangle-exclamation',
}
mask = 'background: currentColor; mask: var(--icon) center / contain no-repeat;'
rules = f"""
:is(.fa-solid, .fa-brands, .fa-regular, .fas, .fab, .far) {{
  display: inline-block; width: 1em; height: 1em; vertical-align: -.125em; {mask}
}}
:is(.fa-solid, .fa-brands, .fa-regular, .fas, .fab, .far)::before {{ content: none; }}
.fa-lg {{ font-size: 1.25em; }}
/* Where the theme counts on the pictures that its script would make of these */
.bd-search .fa-solid.fa-magnifying-glass {{ position: static; flex: none; }}
#pst-search-dialog[open] .bd-search .fa-solid {{ font-size: var(--pst-font-size-icon); }}
.search-button-field > .fa-solid {{ display: inline-block; }}
a.reference.download::before {{ margin-inline: .1em .3em; padding: 0; }}
@media (forced-colors: active) {{
  :is(.fa-solid, .fa-brands, .fa-regular, .fas, .fab, .far) {{ background: ButtonText; }}
}}
"""
# of Font Awesome: a class that says which set, or how large, rather than which icon
kinds = re.compile(r'fa-(solid|brands|regular|lg|fw|sm|xs|\d*x)$')
families = {'fa', 'fas', 'fab', 'far', 'fa-solid', 'fa-brands', 'fa-regular'}


def picture(name):
    "An icon as the value of a property of CSS"
    pen = 'fill="none" stroke="#000" stroke-width="2.4" stroke-linecap="round"'
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" {pen}'
        f' stroke-linejoin="round">{shapes[name]}</svg>'
    )
    return f"url('data:image/svg+xml,{quote(svg, safe=' /:=<>')}')".replace('<', '%3C')


def style():
    "The style sheet that draws all icons"
    lines = [f'.fa-{name} {{ --icon: {picture(name)}; }}' for name in shapes]
    lines += [
        f'{place} {{ --icon: {picture(name)}; content: ""; display: inline-block;'
        f' width: 1em; height: 1em; {mask} }}'
        for place, name in beside.items()
    ]
    return '\n'.join(lines) + rules


def used(text):
    "The names of the icons in the HTML of a page"
    found = set()
    for said in re.findall(r'class="([^"]*)"', text):
        names = set(said.split())
        if names & families:
            found |= {o[3:] for o in names if o.startswith('fa-') and not kinds.match(o)}
    return found


def write_sheet(app):
    path = Path(app.outdir) / '_static' / sheet
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(style(), encoding='utf-8')


def check(app, error):
    "End the build if a page has an icon that isn't drawn"
    if error is not None:
        return
    lacking = {}
    for path in Path(app.outdir).rglob('*.html'):
        for name in used(path.read_text(encoding='utf-8')) - shapes.keys():
            lacking.setdefault(name, path.name)
    if lacking:
        said = ', '.join(f'{name} (on {page})' for name, page in sorted(lacking.items()))
        raise ExtensionError(f'docs/icons.py draws no {said}')


def setup(app):
    app.add_css_file(sheet)
    app.connect('builder-inited', write_sheet)
    app.connect('build-finished', check, priority=900)
    return dict(parallel_read_safe=True, parallel_write_safe=True)
