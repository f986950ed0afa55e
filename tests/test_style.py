"""The gate on wide lines and joined statements fails where it should, and nowhere else."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import style
from style import found, joined, wide


@pytest.mark.parametrize(
    'source, lines',
    [
        ('x = 1', []),
        ('x = 1; y = 2', [1]),
        ('x = 1\nif x: y = 2; z = 3', [2]),
        ('plt.plot();', []),
        ('plt.plot();  # no text', []),
        ("print('a; b')  # c; d", []),
        ('"""a;\nb; c"""', []),
        ('%config a; b\n!ls; ls\nx = 1', []),
    ],
)
def test_joined(source, lines):
    assert joined(source) == lines


def test_wide():
    assert wide('a' * 100 + '\n' + 'é' * 101 + '\nb') == [2]


def test_a_notebook(tmp_path, monkeypatch):
    monkeypatch.setattr(style, 'root', tmp_path)
    cells = [new_markdown_cell('a; ' * 60), new_code_cell('x = 1; y = 2'), new_code_cell('x')]
    path = tmp_path / 'n.ipynb'
    nbformat.write(new_notebook(cells=cells), path)
    assert list(found(path)) == ['n.ipynb, cell 1, line 1: statements joined by a semicolon']
