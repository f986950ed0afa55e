"""The command reads what people type as the playground does."""

import pytest

from rnnlm.generation import words_of
from test_site import pytestmark, root, with_browser  # noqa: F401

typed = [
    '9990',
    '41 42',
    '41, 42.',
    '9,990 nine thousand',
    '3 thousand 412',
    '3 hundred . 4',
    '7 thousand',
    'two thousand 13 14',
    'Twenty-one; one hundred and six',
    'one . . two',
    '42. forty three',
    'forty\u2013two \u2212',
    '1,234,5',
    'nine thousand nine hundred ninety',
]
refused = ['0', '8000', '12,000', '10000', '-3', '\u22123', '2.5', 'one 0', '41 . ' * 600]
sources = ['rnnlm/tables/lmmodel7.js', 'docs/_static/lstm.js', 'docs/_static/counting.js']


@pytest.fixture(scope='module')
def heard():
    "What the page makes of each text: its words, or None where it has an error to say"

    async def read(context):
        page = await context.new_page()
        for source in sources:
            await page.add_script_tag(path=root / source)
        parse = """text => {
          try { return Counting.parse(text).join(' '); } catch (error) { return null; }
        }"""
        return {text: await page.evaluate(parse, text) for text in [*typed, *refused]}

    return with_browser(read)


@pytest.mark.parametrize('text', typed)
def test_the_same_words(heard, text):
    assert heard[text] and ' '.join(words_of(text)) == heard[text]


@pytest.mark.parametrize('text', refused)
def test_the_same_errors(heard, text):
    assert heard[text] is None
    with pytest.raises(ValueError, match='^prompt: '):
        words_of(text)
