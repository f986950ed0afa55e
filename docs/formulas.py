"""Formulas as MathML, which browsers lay out by themselves: no script, and nothing to wait for.

math-core translates the TeX while the site is built. The letters come from STIX Two Math, less
all that no formula may use, within a style sheet that only pages with formulas ask for. A formula
that math-core doesn't understand, or that has a letter which the font lacks, is a warning of
Sphinx, and `make docs` ends with an error."""

import base64
import html
import importlib.util
import io
import re
from functools import cache
from pathlib import Path

from docutils import nodes
from fontTools import subset
from fontTools.ttLib import TTFont
from math_core import LatexError, LatexToMathML
from sphinx.locale import _
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

logger = logging.getLogger(__name__)
sheet = 'formulas.css'

# What a formula may be written with: pairs of first and last character.
blocks = dict(
    text=' ~\xa0\xff‐⁗⁡⁤',
    greek='Αϵ',
    italic='𝐴𝑧ℎℎ𝛢𝜛',
    bold='𝐀𝐳𝟎𝟗',
    double='ℂℂℍℍℕℕℙℙℚℚℝℝℤℤ𝔸𝕫𝟙𝟙',
    script='𝒜𝓏ℬℬℰℰℱℱℋℋℐℐℒℒℳℳℛℛ\ufe00\ufe00',
    accents='ˆ˝\u0300\u0338⃗⃗ℏℏℓℓ✓✓',
    arrows='←↕↦↦⇐⇔',
    operators='∀⋿⟵⟿⌈⌋⟨⟩⏞⏟',
)
# A formula may be wider than a phone: a block scrolls in a box of its own.
rules = """
math { font-family: 'formulas', math; font-size: 1.08em; }
math[display="block"] { font-size: 1.12em; width: max-content; min-width: 100%; }
.bd-article div.math { overflow-x: auto; overflow-y: hidden; margin-block: .8rem 1rem; }
.bd-article div.math:has(.eqno) { display: flex; flex-direction: row-reverse; align-items: center; }
.bd-article div.math .eqno + math { flex: 1; min-width: 0; }
math mtr:not(:first-child) > mtd { padding-top: .45em; }
math menclose { border: 1px solid; padding: .3em; }
"""


@cache
def repertoire():
    "The characters that a formula may be written with"
    pairs = [(o[i], o[i + 1]) for o in blocks.values() for i in range(0, len(o), 2)]
    return {chr(i) for first, last in pairs for i in range(ord(first), ord(last) + 1)}


@cache
def letters():
    "STIX Two Math with the letters of our repertoire alone, as woff2, and which of them it has"
    there = Path(importlib.util.find_spec('ziamath').origin).parent / 'fonts'
    # without a time stamp, so that the same letters are the same bytes
    font = TTFont(there / 'STIXTwoMath-Regular.ttf', recalcTimestamp=False)
    options = subset.Options(hinting=False, layout_features=['dtls', 'flac'])
    # its name and its licence, the SIL Open Font License, stay in it
    options.name_IDs = [0, 1, 2, 13, 14]
    chosen = subset.Subsetter(options)
    chosen.populate(unicodes=map(ord, repertoire()))
    chosen.subset(font)
    font.flavor = 'woff2'
    made = io.BytesIO()
    font.save(made)
    return made.getvalue(), {chr(o) for o in font.getBestCmap()} | {'\ufe00'}


def mathml(tex, block=False):
    "What the browser is given for `tex`, or a ValueError that says what is wrong with it"
    # An extra space between two rows is the style sheet's matter.
    tex = re.sub(r'\\\\\[[\d.]+(?:em|ex|pt)\]', r'\\\\ ', tex.strip())
    if r'\\' in tex and r'\begin' not in tex:
        tex = rf'\begin{{aligned}}{tex}\end{{aligned}}'
    try:
        made = LatexToMathML(fancy_error=False).convert_with_local_state(tex, displaystyle=block)
    except LatexError as e:
        raise ValueError(f'math-core does not understand {tex!r}: {e}') from None
    # all that a browser would look for in the font
    shown = html.unescape(re.sub(r'<[^>]+>', '', made)).replace('\n', '')
    if lacking := set(shown) - letters()[1]:
        said = ', '.join(f'{o} (U+{ord(o):04X})' for o in sorted(lacking))
        raise ValueError(f'the font of formulas lacks {said} of {tex!r}')
    return made


def converted(node, block=False):
    try:
        return mathml(node.astext(), block)
    except ValueError as e:
        logger.warning('a formula: %s', e, location=node)
        return f'<code>{html.escape(node.astext())}</code>'


def inline(writer, node):
    writer.body.append(writer.starttag(node, 'span', '', CLASS='math'))
    writer.body.append(converted(node) + '</span>')
    raise nodes.SkipNode


def block(writer, node):
    writer.body.append(writer.starttag(node, 'div', CLASS='math'))
    if node['number']:
        writer.body.append(f'<span class="eqno">({get_node_equation_number(writer, node)})')
        writer.add_permalink_ref(node, _('Link to this equation'))
        writer.body.append('</span>')
    writer.body.append(converted(node, block=True) + '</div>\n')
    raise nodes.SkipNode


def write_sheet(app):
    "The style sheet, with the font in it: a page from a disk may not be given a font beside it"
    if app.builder.format != 'html':
        return
    font, _ = letters()
    source = f'data:font/woff2;base64,{base64.b64encode(font).decode()}'
    face = f"@font-face {{ font-family: 'formulas'; src: url({source}) format('woff2'); }}"
    said = '/* Letters: STIX Two Math, by the STIX Fonts project, SIL Open Font License 1.1 */'
    path = Path(app.outdir) / '_static' / sheet
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{said}\n{face}{rules}', encoding='utf-8')


def ask_for_sheet(app, page, template, context, doctree):
    if doctree and any(doctree.findall(lambda o: isinstance(o, nodes.math | nodes.math_block))):
        app.add_css_file(sheet)


def setup(app):
    app.add_html_math_renderer('mathml', (inline, None), (block, None))
    app.connect('builder-inited', write_sheet)
    app.connect('html-page-context', ask_for_sheet)
    return dict(parallel_read_safe=True, parallel_write_safe=True)
