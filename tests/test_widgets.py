"""Widgets in notebooks: the site shows docs/widgets/NAME.html, Jupyter and README.md what the cell
itself holds."""

import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

root = Path(__file__).parent.parent
sys.path.insert(0, str(root / 'docs'))
import cells  # noqa: E402

html = '<script src="_static/a.js"></script>\n\n<a href="seeds.html">x</a> <a href="#here">y</a>'
kept = '<a href="https://a.b">z</a> <a data-href="no">'


def notebook(page, *own):
    return nbformat.writes(new_notebook(cells=list(own), metadata=dict(page=page)))


@pytest.fixture
def hero(tmp_path, monkeypatch):
    (tmp_path / 'docs/widgets').mkdir(parents=True)
    (tmp_path / 'docs/widgets/hero.html').write_text(f'{html}\n{kept}\n')
    monkeypatch.setattr(cells, 'root', tmp_path)
    # the index of names is the repository's, and no name is linked here
    monkeypatch.setattr(cells, 'index', lambda: ('', {}))


def pair():
    figure = new_output('display_data', {'image/svg+xml': '<svg/>', 'text/plain': 'a figure'})
    return (
        new_markdown_cell('<!-- widget: hero -->\n![A picture](images/x.svg)'),
        new_code_cell('#| echo: false\n#| widget: hero\n#| fig-alt: A\nplot()', outputs=[figure]),
    )


@pytest.mark.parametrize('page,up', [('index', ''), ('chapter/04_lstm', '../')])
def test_the_site_shows_the_widget(hero, page, up):
    for cell in cells.read(notebook(page, *pair())).cells:
        assert cell.cell_type == 'markdown' and 'outputs' not in cell
        lines = cell.source.splitlines()
        assert (lines[0], lines[-1]) == ('`````{raw} html', '`````')
        assert f'src="{up}_static/a.js"' in cell.source
        assert f'href="{up}seeds.html"' in cell.source
        assert 'href="#here"' in cell.source and kept in cell.source


def test_readme_shows_what_the_cell_holds(hero):
    text, code = cells.read(notebook('index', *pair()), site=False).cells
    assert text.source == '![A picture](images/x.svg)'
    assert code.source == 'plot()' and code.outputs and code.metadata.tags == ['remove-input']
    assert code.metadata.figure[0] == 'A'


def test_a_name_without_a_widget(hero):
    with pytest.raises(FileNotFoundError, match="index: there is no widget 'other'"):
        cells.read(notebook('index', new_markdown_cell('<!-- widget: other -->')))


def test_what_only_speaks_of_widgets_stays(hero):
    said = 'Write `<!-- widget: hero -->` into a cell.'
    code = "print('#| widget: hero')"
    text, plain = cells.read(notebook('index', new_markdown_cell(said), new_code_cell(code))).cells
    assert text.source == said and plain.source == code


def test_every_widget_is_used():
    used = set()
    for path in root.glob('nbs/**/*.ipynb'):
        for cell in nbformat.read(path, as_version=4).cells:
            if found := cells.marked[cell.cell_type].match(cell.source):
                used.add(found[1])
    assert used == {o.stem for o in root.glob('docs/widgets/*')}
    for path in root.glob('docs/widgets/*.html'):
        assert not re.search(r'^`{5}', path.read_text(encoding='utf-8'), re.M), path
