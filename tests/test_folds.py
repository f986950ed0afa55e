"""Code that folds on the site: which, behind what, and that none of it is lost."""

import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

root = Path(__file__).parent.parent
sys.path.insert(0, str(root / 'docs'))
import cells  # noqa: E402
import folds  # noqa: E402
import tables  # noqa: E402


def read(source, **data):
    "A cell as the site gets it; `data` are its outputs by kind, with _ for the slash"
    outputs = [
        new_output('display_data', {k.replace('_', '/', 1): o for k, o in data.items()})
    ] * bool(data)
    nb = new_notebook(cells=[new_code_cell(source, outputs=outputs)])
    nb.metadata['page'] = 'chapter/01_data'
    return cells.read(nbformat.writes(nb)).cells[0]


cell = """class Cell(nn.Module):
    "One `step`; `TypeError` for what is no tensor"
    def __init__(self,
        ni:int, # Width
    ):
        super().__init__()"""


@pytest.mark.parametrize('directive', ['#| export', '#| exports', '#| exports lstm'])
def test_what_is_exported_folds(directive):
    found = read(f'{directive}\n{cell}')
    assert found.source == cell
    assert 'hide-input' in found.metadata.tags
    assert found.metadata.fold == [('class Cell(nn.Module)', 'One `step`.')]


@pytest.mark.parametrize('source', [cell, f'#| exports\n#| open\n{cell}'])
def test_other_code_stays_open(source):
    "Short versions, and what a lesson says is to be open"
    found = read(source)
    assert found.source == cell
    assert 'hide-input' not in found.metadata.tags and 'fold' not in found.metadata


@pytest.mark.parametrize(
    'source, said',
    [
        (
            'def f(n:int=9_999, *, p=.5, **rest) -> int:\n    pass',
            [('f(n=9_999, *, p=.5, **rest)', '')],
        ),
        (
            '@patch\ndef forward(self:Cell, x, hx=None):\n    "Run"\n    return x',
            [('Cell.forward(x, hx=None)', 'Run.')],
        ),
        (
            '@patch(cls_method=True)\ndef of(cls:Cell, m):\n    "Ours"',
            [('Cell.of(m)', 'Ours.')],
        ),
        ('def _a(x):\n    "It"', [('_a(x)', 'It.')]),
        ('def _a():\n    "It"\ndef _b():\n    pass', [('_a, _b', '')]),
        ('def a(x):\n    "It"\ndef _b():\n    pass', [('a(x)', 'It.'), ('_b', '')]),
        ('class A:\n    pass\ndef b():\n    pass', [('class A', ''), ('b()', '')]),
        ('import io\nfrom os import path', [('imports', '')]),
        ('sizes = dict(a=1)', [('sizes', '')]),
    ],
)
def test_what_one_sees_while_it_is_folded(source, said):
    assert folds.summaries(source) == said


def test_every_exported_cell_of_the_lessons_has_a_summary():
    "None is just called code, and those that are open are few"
    opened = 0
    paths = [o for folder in ('chapter', 'beyond') for o in root.glob(f'nbs/{folder}/*.ipynb')]
    assert len(paths) > 10
    for path in paths:
        for one in nbformat.read(path, as_version=4).cells:
            if not one.source.startswith('#| export'):
                continue
            found = read(one.source)
            opened += '#| open' in one.source
            assert ('#| open' in one.source) != ('hide-input' in found.metadata.tags), path
            lines = found.metadata.get('fold', [])
            assert all(head and head != 'code' for head, _ in lines), (path, one.source)
    assert 0 < opened < 20


@pytest.mark.parametrize(
    'source, data, shown',
    [
        ('plt.plot(x)', dict(image_png='iVBO'), 'Show how this figure is drawn'),
        (
            'show(x)',
            {'image_svg+xml': '<svg viewBox="0 0 9 9"></svg>'},
            'Show how this figure is drawn',
        ),
        ('def draw(ax):\n    ax.plot([1])', {}, 'Show how the figures are drawn'),
        ('pd.Series([1])', dict(text_plain='0 1'), 'Show the code'),
    ],
)
def test_a_fold_says_what_is_behind_it(source, data, shown):
    found = read(f'#| code-fold: true\n#| fig-alt: A\n{source}', **data)
    assert 'hide-input' in found.metadata.tags
    prompts = found.metadata.mystnb
    assert prompts['code_prompt_show'] == shown
    assert prompts['code_prompt_hide'] == shown.replace('Show', 'Hide')
    assert found.metadata.figure == ['A', '']


def test_a_docstring_is_text_and_code():
    assert folds.marked_up('`a<b` & c') == '<code>a&lt;b</code> &amp; c'


def test_words_flush_left_and_numbers_right():
    import pandas as pd

    columns = {'n': [1.5, 20], 'share': ['5 %', '12 %'], 'said': ['one', '2'], 'gap': [None, 1e-7]}
    frame = pd.DataFrame(columns, index=['a', 'b'])
    marked = tables.words_left(frame.to_html())
    assert marked.count('<td class="words">') == 2 and '<td class="words">one</td>' in marked
    assert marked.count('<th class="words">') == 1 and '<th class="words">said</th>' in marked
    named = tables.words_left(frame.rename_axis('seed').to_html())
    assert '<th class="words">said</th>' in named and '<th class="words">n</th>' not in named
    assert tables.words_left('<p>no table</p>') == '<p>no table</p>'
