"""The search in a browser: does each query find the page that answers it, served and from the
disk, and can one use it with the keyboard alone?"""

import json
import re
from urllib.parse import quote

import pytest
from one_page import faults, opened

# what a test module has to have to be skipped without a browser, and its server
from test_site import base, pages, pytestmark, root, site, with_browser  # noqa: F401

# What somebody types, the page that he should find, and how far down at most
expected = [
    ('lstm', 'chapter/04_lstm', 1),
    ('LSTM', 'chapter/04_lstm', 1),
    ('lsmt', 'chapter/04_lstm', 1),
    ('how does an lstm work', 'chapter/04_lstm', 1),
    ('forget gate', 'chapter/04_lstm', 1),
    ('cell state', 'chapter/04_lstm', 3),
    ('tanh sigmoid', 'chapter/04_lstm', 1),
    ('dropout', 'chapter/06_dropout', 1),
    ('dropuot', 'chapter/06_dropout', 1),
    ('weight tying', 'chapter/08_weight_tying', 1),
    ('wieght tying', 'chapter/08_weight_tying', 1),
    ('exploding activations', 'chapter/03_exploding_activations', 1),
    ('exploding activatoins', 'chapter/03_exploding_activations', 1),
    ('vanishing gradients', 'chapter/03_exploding_activations', 3),
    ('gru', 'chapter/10_gru', 1),
    ('awd-lstm', 'chapter/09_awd_lstm', 1),
    ('ar tar', 'chapter/07_ar_tar', 1),
    ('temporal activation regularization', 'chapter/07_ar_tar', 1),
    ('backward pass of the lstm', 'chapter/04b_lstm_backward', 1),
    ('multilayer rnn', 'chapter/02_multilayer_rnn', 1),
    ('truncated backpropagation', 'chapter/02_multilayer_rnn', 1),
    ('human numbers', 'chapter/01_data', 2),  # after its own page of the reference
    ('questionaire', 'chapter/11_questionnaire', 1),
    ('errata', 'chapter/12_errata', 1),
    ('sampling temperature', 'beyond/03_generation', 1),
    ('playground', 'playground', 1),
    ('train in the browser', 'train', 3),
    ('explore the seeds', 'seeds', 1),
    ('table 3', 'replication/19_table3', 1),
    ('how fast', 'replication/11_performance', 1),
    ('chaos', 'replication/18_chaos', 1),
    ('cite', 'cite', 1),
    ('pip install', 'index', 1),
    ('LSTMCell', 'api/lstm', 3),
    ('merge_gates', 'api/lstm', 3),
    ('human_numbers', 'api/data', 3),
]
# Sections: what is typed, and the address that Enter leads to
sections = [
    ('slip in another digit', 'chapter/04_lstm.html#slip-in-another-digit'),
    ('ar is a temperature', 'chapter/07_ar_tar.html#ar-is-a-temperature'),
    ('keep detach reset', 'chapter/02_multilayer_rnn.html#keep-detach-reset'),
]
search = """q => SiteSearch.load().then(index => {
  const found = SiteSearch.find(index, q);
  return found.pages.map(o => ({
    url: o.page.url,
    anchor: o.hits[0].entry.anchor,
    snippet: SiteSearch.snippet(o.hits[0].entry.text, found.terms),
    text: o.hits[0].entry.text}))})"""
hits = "() => [...document.querySelectorAll('#search-page .found-title')].map(o => o.href)"
# a page is opened and found by what it says
shown = "q => document.querySelector('#search-page .found-status')?.textContent.includes('found')"


@pytest.fixture(scope='module', params=['served', 'disk'])
def here(request, base):  # noqa: F811
    return base if request.param == 'served' else site.as_uri() + '/'


@pytest.fixture(scope='module')
def found(base):  # noqa: F811
    "What the search finds for each query"

    async def ask(context):
        page, bad = await opened(context, base + 'index.html', base)
        loaded = await page.evaluate('() => typeof SEARCH_INDEX')
        results = {q: await page.evaluate(search, q) for q, _, _ in expected}
        results['qwxzvk'] = await page.evaluate(search, 'qwxzvk')
        results[''] = await page.evaluate(search, '')
        return loaded, results, bad

    return with_browser(ask)


def test_every_query_finds_its_page(found):
    def place(query, page):
        urls = [o['url'] for o in found[1][query]]
        return urls.index(f'{page}.html') + 1 if f'{page}.html' in urls else None

    wrong = {
        q: (place(q, page), [o['url'] for o in found[1][q][:3]])
        for q, page, most in expected
        if not (at := place(q, page)) or at > most
    }
    assert not wrong and not found[2], json.dumps(wrong, indent=1)


def test_nothing_is_found_for_what_is_nowhere(found):
    assert found[1]['qwxzvk'] == found[1][''] == []


def test_index_is_loaded_only_for_a_search(found):
    assert found[0] == 'undefined'
    for name in pages:
        text = (site / name).read_text(encoding='utf-8')
        assert not re.search(r'(searchindex|searchtools|search_index)\.js', text), name


def test_snippets_are_clean(found):
    "Text of the page, not too long, with hits marked, without markup or code"
    marked = 0
    for query, results in found[1].items():
        for o in results[:5]:
            text = ''.join(part for part, _ in o['snippet'])
            assert text.removeprefix('… ').removesuffix(' …') in o['text'], (query, text)
            assert len(text) < 200, (query, text)
            assert not re.search(r'</?\w+[^>]*>|\\\w+\{|```|#\| |^import |\bdef \w+\(', text), text
            marked += any(hit for _, hit in o['snippet'])
    assert marked > len(expected)


def test_index_knows_every_page_and_its_anchors():
    "All pages of the menu, and no anchor that is not on its page"
    text = (site / '_static/search_index.js').read_text(encoding='utf-8')
    index = json.loads(text.split('=', 1)[1].rstrip(';\n'))
    made = {'404.html', 'genindex.html', 'search.html'}
    assert {o[0] for o in index} == set(pages) - made
    for url, *_, entries in index:
        ids = set(re.findall(r'\bid="([^"]+)"', (site / url).read_text(encoding='utf-8')))
        assert not {anchor for anchor, *_ in entries if anchor} - ids, url


def test_search_page(here):
    "What its address says, then what one types; the address follows"

    async def go(context):
        page, bad = await opened(context, here + 'search.html?q=' + quote('wieght tying'), here)
        await page.wait_for_function(shown)
        first = await page.evaluate(hits)
        await page.fill('#search-page input', 'gru')
        await page.wait_for_function("() => location.search === '?q=gru'")
        second = await page.evaluate(hits)
        await page.press('#search-page input', 'Enter')
        focus = await page.evaluate('() => document.activeElement.href')
        return bad, first, second, focus

    bad, first, second, focus = with_browser(go)
    assert not bad
    assert first[0] == here + 'chapter/08_weight_tying.html'
    assert second[0] == here + 'chapter/10_gru.html' and focus.startswith(second[0])


def test_dialog_by_keyboard(here):
    "Ctrl+K, type, arrows, Enter, from a page in a folder; Escape closes; a hit here only scrolls"

    opens = "() => document.getElementById('pst-search-dialog').open"
    field = "document.querySelector('#pst-search-dialog input').value"
    done = f'q => {field} === q && document.querySelector(".found-page")'

    async def go(context):
        errors, seen = [], []

        async def typed(text):
            page, bad = await opened(context, here + 'chapter/04_lstm.html', here)
            errors.append(bad)
            await page.keyboard.press('Control+k')
            await page.keyboard.type(text)
            await page.wait_for_function(done, arg=text)
            # until what was typed last is shown
            await page.wait_for_timeout(500)
            return page

        page = await typed('questionaire')
        await page.keyboard.press('Escape')
        seen.append(await page.evaluate(opens))
        for text, address in sections:
            page = await typed(text)
            await page.keyboard.press('Enter')
            await page.wait_for_url(here + address)
            seen.append(await page.evaluate(opens))
        page = await typed('dropout')
        links = await page.eval_on_selector_all('.found a', 'l => l.map(o => o.href)')
        for key in ('ArrowDown', 'ArrowDown', 'ArrowDown', 'ArrowUp'):
            await page.keyboard.press(key)
        seen.append(await page.evaluate('() => document.activeElement.href') == links[1])
        # who goes on typing is in the field again
        await page.keyboard.type('s')
        seen.append(await page.evaluate('() => document.activeElement.value'))
        return errors, seen

    errors, seen = with_browser(go)
    # who leaves a page soon leaves its icon half loaded
    bad = [o for page in errors for o in page if 'favicon' not in o]
    assert not bad and seen == [False, False, False, False, True, 'dropouts'], (bad, seen)


def test_typing_errors():
    "Letters in the wrong order, missing, too many or wrong are one error each"

    async def go(context):
        page, _ = await opened(context, site.as_uri() + '/search.html', 'file://')
        pairs = [('dropuot', 'dropout'), ('drpout', 'dropout'), ('droopout', 'dropout')]
        pairs += [('dropaut', 'dropout'), ('activatoins', 'activations'), ('same', 'same')]
        pairs += [('recurent netwrok', 'recurrent network'), ('gate', 'loss')]
        return [await page.evaluate('([a, b]) => SiteSearch.distance(a, b, 2)', o) for o in pairs]

    assert with_browser(go) == [1, 1, 1, 1, 1, 0, 2, 3]


def test_search_for_everybody(base):  # noqa: F811
    "axe, both themes, both widths: on the search page, and in the open dialog"

    async def go(context):
        page, bad = await opened(context, base + 'search.html?q=forget+gate', base)
        await page.wait_for_function(shown)
        found = await faults(page)
        page, more = await opened(context, base + 'chapter/04_lstm.html', base)
        await page.evaluate(
            "() => document.querySelectorAll('mjx-container, .highlight').forEach(o => o.remove())"
        )
        await page.keyboard.press('Control+k')
        await page.keyboard.type('forget gate')
        await page.wait_for_selector('.found-page')
        return bad + more + found + await faults(page)

    assert with_browser(go) == []
