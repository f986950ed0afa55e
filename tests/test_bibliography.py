"""One bibliography: it has every paper that a notebook cites, and no other."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / 'docs'))
import bibliography  # noqa: E402
from bibliography import cited, doi, page, papers  # noqa: E402


def test_what_is_cited_is_listed():
    assert cited().keys() == papers().keys()


@pytest.mark.parametrize('name', papers())
def test_a_paper(name):
    o = papers()[name]
    assert {'by', 'year', 'title'} <= o.keys() <= {'by', 'year', 'title', 'in'}
    assert 1900 < o['year'] < 2030
    assert f'{name}' in page()


def test_a_doi_with_parentheses():
    text = '[a](https://doi.org/10.1016/0167-2789(85)90011-9), *b*; ([c](https://doi.org/10.1/2))'
    assert doi.findall(text) == ['10.1016/0167-2789(85)90011-9', '10.1/2']


def test_a_paper_that_is_not_listed(monkeypatch):
    monkeypatch.setattr(bibliography, 'papers', lambda: {})
    with pytest.raises(ValueError, match='which docs/bibliography.yaml lacks'):
        page()
