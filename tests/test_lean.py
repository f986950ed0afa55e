"""What keeps the site small: formulas as MathML, icons of our own, nothing that no page uses."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip('sphinx')
pytest.importorskip('math_core')
root = Path(__file__).parent.parent
sys.path.insert(0, str(root / 'docs'))
import formulas  # noqa: E402
import icons  # noqa: E402
import lean  # noqa: E402
from sphinx.errors import ExtensionError  # noqa: E402


def tags(tex):
    return re.findall(r'<(m\w+)', formulas.mathml(tex))


def test_formulas_become_mathml():
    assert tags(r'\frac{a}{b}') == ['math', 'mfrac', 'mi', 'mi']
    assert 'display="block"' in formulas.mathml('a', block=True)
    assert 'display' not in formulas.mathml('a')


def test_lines_of_a_formula_are_rows():
    aligned = r'\begin{aligned}a &= b \\ c &= d\end{aligned}'
    assert tags(aligned).count('mtr') == 2 and tags(aligned).count('mtd') == 4
    spaced = r'\begin{gathered}a \\[.5em] [b]\end{gathered}'
    # the space is not a text, the bracket is
    assert tags(spaced).count('mtr') == 2 and '.5' not in formulas.mathml(spaced)
    assert formulas.mathml(spaced).count('[</mo>') == 1
    assert tags(r'a \\ b').count('mtr') == 2


@pytest.mark.parametrize(
    'tex,says',
    [
        (r'\nosuchcommand x', 'Unknown command'),
        (r'\frac{a', 'end of input'),
        ('a & b', 'table-like'),
        ('x_a_b', 'Duplicate'),
        ('漢', 'lacks 漢 \\(U\\+6F22\\)'),
    ],
)
def test_a_formula_that_cannot_be_shown_is_an_error(tex, says):
    with pytest.raises(ValueError, match=says):
        formulas.mathml(tex)


def test_such_a_formula_is_a_warning_of_sphinx(monkeypatch):
    "And `make docs` makes an error of each warning"
    said = []
    monkeypatch.setattr(formulas.logger, 'warning', lambda *args, **kwargs: said.append(args))
    shown = formulas.converted(SimpleNamespace(astext=lambda: r'\nosuch < x'))
    assert shown == r'<code>\nosuch &lt; x</code>' and len(said) == 1
    assert "'-W'" in (root / 'docs/build.py').read_text(encoding='utf-8')


def test_the_font_is_the_same_each_time():
    again = formulas.letters.__wrapped__()
    assert again[0] == formulas.letters()[0] and len(again[0]) < 100_000


def test_icons_of_a_page():
    page = '<i class="fa-solid fa-bars fa-lg me-1"></i><i class="fas fa-download"></i>'
    page += '<p class="fa-x">'
    assert icons.used(page) == {'bars', 'download'}


def test_a_page_with_another_icon_ends_the_build(tmp_path):
    app = SimpleNamespace(outdir=tmp_path)
    (tmp_path / 'a.html').write_text('<i class="fas fa-play"></i>', encoding='utf-8')
    icons.check(app, None)
    (tmp_path / 'b.html').write_text('<i class="fas fa-dragon"></i>', encoding='utf-8')
    with pytest.raises(ExtensionError, match=r'no dragon \(on b.html\)'):
        icons.check(app, None)


def test_scripts_that_are_not_used_are_not_asked_for():
    used = '<script src="../_static/doctools.js?v=1"></script>'
    text = (
        '<script defer src="../_static/scripts/fontawesome.js?digest=9"></script>\n'
        f'{used}<script src="searchindex.js"></script>'
    )
    assert lean.without_unused(text) == used


def test_what_nothing_leads_to_is_swept_out(tmp_path):
    "By a page, a style sheet or a script; but for what other programs read"
    files = {
        'index.html': '<link href="_static/a.css?v=3"><img src="_images/a%20b.png"><script '
        'src="_static/a.js"></script><a href="https://x.org/gone.png">x</a>',
        '_static/a.css': '@import "b.css"; p { background: url(../_images/c.png) }',
        '_static/b.css': '',
        '_static/a.js': 'load("_static/" + "data.js")',
        '_static/data.js': '',
        '_images/a b.png': '',
        '_images/c.png': '',
        'objects.inv': '',
    }
    lost = {'_static/gone.js': '', '_images/gone.png': '', '_sources/index.md': ''}
    for name, text in (files | lost).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding='utf-8')
    found = {o.relative_to(tmp_path).as_posix() for o in lean.orphans(tmp_path)}
    assert found == lost.keys()
    app = SimpleNamespace(outdir=tmp_path, builder=SimpleNamespace(format='html'))
    lean.sweep(app, None)
    left = {o.relative_to(tmp_path).as_posix() for o in tmp_path.rglob('*') if o.is_file()}
    assert left == files.keys() and not (tmp_path / '_sources').exists()


def test_other_bytes_are_noticed(tmp_path):
    "By tests/same_bytes.py: a byte, a file that is missing, none"
    import same_bytes

    one, other = tmp_path / 'one', tmp_path / 'other'
    for folder in (one, other):
        (folder / 'a').mkdir(parents=True)
        (folder / 'a/b').write_bytes(b'1')
        (folder / 'c').write_bytes(b'1')
    assert same_bytes.differing(one, other) == []
    (other / 'c').write_bytes(b'2')
    (one / 'd').write_bytes(b'1')
    assert same_bytes.differing(one, other) == ['c', 'd']
