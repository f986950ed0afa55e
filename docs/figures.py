"""The figures of the notebooks as the site and README.md show them.

Notebooks draw SVG in the inks of a white page (rnnlm.replicate.inks). On the site each figure
stands in its page itself, with a number, a caption, and a variable of the stylesheet in the place
of each ink, so that it follows the theme. The variables are made from the same table."""

import html
import re

from rnnlm.drawing import stands_for
from rnnlm.replicate.inks import inks

smallest = 9  # pixels of a letter, however narrow the screen
geometry = re.compile(r'\b(d|x|y|width|height|transform|viewBox)="([^"]*)"')
size_of_letters = re.compile(r'\bfont(?:-size)?: (?:[a-z0-9]+ )*?([\d.]+)px')


def stylesheet():
    "The inks of both themes, and what they stand for, as variables"

    def rule(selector, values):
        return '\n'.join([f'{selector} {{', *(f'  --{k}: {v};' for k, v in values), '}'])

    def own(theme):
        return [(f'ink-{k}', pair[theme]) for k, pair in inks.items() if k != 'paper']

    named = [(f'colour-{k}', f'var(--ink-{ink})') for k, ink in stands_for.items()]
    paper = [('ink-paper', 'var(--pst-color-background)')]
    light = rule('html', own(0) + paper + named)
    return f'/* Made by docs/figures.py. */\n{light}\n{rule("html[data-theme=dark]", own(1))}\n'


def in_inks(svg, value):
    "`svg` with `value(name)` in the place of each ink"
    names = {pair[0]: name for name, pair in inks.items()}

    def put(m):
        return value(names[m[0]]) if m[0] in names else m[0]

    return re.sub(r'#[0-9a-f]{6}\b', put, svg)


def in_dark(svg):
    "`svg` in the inks of a dark page, to stand alone"
    return in_inks(svg, lambda name: inks[name][1])


def short(m):
    "Coordinates to a hundredth of a point, on one line"
    value = re.sub(r'(\.\d\d)\d+', r'\1', ' '.join(m[2].split()))
    return f'{m[1]}="{value}"'


def unique(svg, prefix):
    "Ids begin with `prefix`; those that nothing refers to are left out, or are classes"
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))

    def renamed(m):
        kind, name = re.match(r'(?:matplotlib\.)?([A-Za-z]+)', m[1])[1], m[1]
        shown = dict(axes='axes', axis='axis', QuadMesh='cells').get(kind)
        kept = [f'id="{prefix}{name}"'] if name in used or kind in ('axes', 'axis') else []
        return ' '.join([*kept, *([f'class="drawn-{shown}"'] if shown else [])])

    svg = re.sub(r'\bid="([^"]+)"', renamed, svg)
    return re.sub(r'(href="#|url\(#)', rf'\g<1>{prefix}', svg)


def inline(svg, number):
    "`svg` as a part of a page"
    svg = svg[svg.index('<svg') :]
    width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups())
    # in a formula the small letters are indices
    texts = map(size_of_letters.findall, re.findall(r'<text.*?</text>', svg, flags=re.S))
    letters = [max(map(float, o)) for o in texts if o]
    least = width * smallest / min(letters, default=10)
    # Matplotlib's rule for all elements would hold for the page; figures.css has it for figures
    svg = re.sub(r'<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->', '', svg, flags=re.S)
    svg = unique(geometry.sub(short, svg), f'f{number}-')
    svg = in_inks(svg, lambda name: f'var(--ink-{name})')
    families = {
        "'DejaVu Sans Mono'": 'var(--pst-font-family-monospace)',
        "'DejaVu Sans'": 'var(--pst-font-family-base)',
    }
    for family, ours in families.items():
        svg = re.sub(rf'(font(?:-family)?: [^;"\']*){family}[^;"]*', rf'\g<1>{ours}', svg)
    sizes = f'--natural: {width * 4 / 3:.0f}px; --least: {least:.0f}px'
    head = f'<svg viewBox="0 0 {width:g} {height:g}" style="{sizes}">'
    return re.sub(r'\s*\n\s*', '\n', head + svg[svg.index('>') + 1 :]).strip()


def marked_up(caption):
    return re.sub(r'`([^`]+)`', r'<code>\1</code>', html.escape(caption, quote=False))


def figure(svg, number, alt, caption):
    "A numbered figure of a page"
    return (
        f'<figure class="drawn" id="figure-{number}">'
        f'<div class="drawn-box" role="img" aria-label="{html.escape(alt)}">'
        f'{inline(svg, number)}</div>'
        f'<figcaption><a href="#figure-{number}">Figure {number}</a>. '
        f'{marked_up(caption)}</figcaption></figure>'
    )


def picture(alt, path, dark_path, caption):
    "A figure of README.md, which has no stylesheet: a file for each theme"
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{dark_path}">'
        f'<img src="{path}" alt="{html.escape(alt)}"></picture>\n\n*{caption}*'
    )
