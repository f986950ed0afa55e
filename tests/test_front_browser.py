"""What one sees of the site before one reads it: the page for an address that is none, the pictures
of links to it, and how long a lesson takes."""

import importlib
import io
import re

import pytest
from one_page import faults, opened
from test_site import Quiet, at, pages, pytestmark, root, served, site, with_browser  # noqa: F401

import cards
import minutes
import missing
import repository


class Missing(Quiet):
    "A server that has our page for what is missing, as GitHub Pages does"

    def send_error(self, code, *args, **kwargs):
        text = (site / '404.html').read_bytes()
        self.send_response(code)
        self.send_header('Content-Type', 'text/html; charset=utf-8')
        self.end_headers()
        self.wfile.write(text)


@pytest.fixture(scope='module')
def server():
    with served(Missing) as address:
        yield address


@pytest.mark.skipif(repository.base() != '/rnnlm/', reason='the site lies elsewhere')
def test_missing_page_of_any_depth(server):
    "It looks like the site, its links lead somewhere, and its field searches"

    async def go(context):
        found = []
        for address in ('/rnnlm/nothing', '/rnnlm/chapter/a/very/deep/one.html'):
            page, bad = await opened(context, server + address, server)
            bad = [o for o in bad if address not in o and '404 (' not in o]
            links = await page.eval_on_selector_all('a[href]', 'l => l.map(o => o.href)')
            answers = {o: (await page.request.get(o)).status for o in set(links)}
            side = await page.evaluate(
                "() => document.querySelector('.bd-sidebar-primary').offsetWidth"
            )
            found.append((bad, {o: n for o, n in answers.items() if n != 200}, side))
            problems = await faults(page)
            await page.set_viewport_size(dict(width=1280, height=900))
            await page.fill('#missing-page input', 'dropuot')
            await page.press('#missing-page input', 'Enter')
            await page.wait_for_selector('.found-title')
            first = await page.evaluate("() => document.querySelector('.found-title').href")
            found.append((problems, first))
        return found

    for result in with_browser(go):
        if len(result) == 3:
            bad, dead, side = result
            own = [o for o in dead if not o.split('#')[0].endswith(('/nothing', 'one.html'))]
            assert not bad and not own and 200 < side < 500, result
        else:
            assert result == ([], f'{server}/rnnlm/chapter/06_dropout.html')


def test_addresses_of_the_missing_page():
    "Ours become absolute; other servers, and places on the page, stay"
    text = '<a href="#x"><a href="./a.html"><a href="https://d.e"><img src="b/c.png">'
    text += '<form action="f">'
    expected = text.replace('./a', '/at/a').replace('b/c', '/at/b/c').replace('="f"', '="/at/f"')
    assert missing.absolute(text, '/at/') == expected
    assert missing.absolute('<html data-content_root="./">', '/at/') == (
        '<html data-content_root="/at/">'
    )


def test_address_of_the_site(at, monkeypatch):  # noqa: F811
    "GitHub Pages where the repository is at GitHub, the host of settings.ini first, else none"
    known = at.startswith('https://github.com')
    assert repository.site() == ('https://someone.github.io/rnnlm/' if known else '')
    assert repository.base() == '/rnnlm/'
    says = repository.settings() | dict(doc_host='https://a.b', doc_baseurl='/c')
    monkeypatch.setattr(repository, 'settings', lambda: says)
    assert repository.site() == 'https://a.b/c/' and repository.base() == '/c/'


def test_site_of_an_account_itself(monkeypatch):
    "The repository someone.github.io is the top of its server"
    monkeypatch.setenv('GITHUB_SERVER_URL', 'https://github.com')
    monkeypatch.setenv('GITHUB_REPOSITORY', 'Someone/someone.github.io')
    assert repository.site() == 'https://someone.github.io/' and repository.base() == '/'


def test_every_page_has_a_picture(tmp_path):
    """1200 × 630, each of its own, small enough to be sent; with an address, the page says where,
    and it is there"""
    from PIL import Image

    at = repository.site()
    folder = site if at else tmp_path
    if not at:
        cards.draw(folder, {o.removesuffix('.html'): o for o in pages}, 'rnnlm')
    made = {'404.html', 'genindex.html', 'search.html'}
    found = {}
    for name in set(pages) - made:
        page = name.removesuffix('.html')
        path = folder / cards.name(page)
        with Image.open(path) as picture:
            assert picture.size == (1200, 630) and picture.format == 'PNG'
        found[page] = path.read_bytes()
        text = (site / name).read_text(encoding='utf-8')
        assert (cards.name(page) in text) == bool(at), name
    assert len(set(found.values())) == len(found)
    assert max(map(len, found.values())) < 60_000


def test_picture_is_the_same_each_time_and_shows_the_data(monkeypatch, tmp_path):
    "Twice the same bytes; other runs make another picture"

    def drawn(title):
        made = io.BytesIO()
        cards.card(*cards.background(), title, 'rnnlm').save(made, 'png')
        return made.getvalue()

    first = drawn('How an LSTM remembers')
    assert first == drawn('How an LSTM remembers') != drawn('Dropout, four ways')
    cards.draw(tmp_path, {'chapter/04_lstm': 'How an LSTM remembers'}, 'rnnlm')
    assert first == (tmp_path / cards.name('chapter/04_lstm')).read_bytes()
    tables = importlib.import_module('rnnlm.tables')
    reference = tables.reference

    def halved(model):
        runs = reference(model)
        return runs.assign(accuracy=runs.accuracy / 2)

    monkeypatch.setattr(tables, 'reference', halved)
    assert drawn('How an LSTM remembers') != first


@pytest.mark.parametrize('title', ['LSTM', 'A title of very many words ' * 4, 'x' * 25])
def test_titles_fit_their_picture(title):
    "In at most three lines, above the dots"
    for points in (64, 54, 44, 36):
        lines = cards.wrapped(title.strip(), cards.font('DejaVuSans-Bold', points), 1080)
        assert ' '.join(lines) == title.strip()
    assert len(lines) <= 3


def test_tags_need_an_address():
    "Without an address of the site there is no picture to name"
    assert cards.tags('chapter/04_lstm', '') == []
    found = dict((key, o) for _, key, o in cards.tags('chapter/04_lstm', 'https://a.b/c/'))
    assert found['og:image'] == 'https://a.b/c/_static/cards/chapter-04_lstm.png'
    assert found['og:url'] == 'https://a.b/c/chapter/04_lstm.html'


lessons = sorted(
    p.relative_to(root / 'nbs').with_suffix('').as_posix()
    for p in (root / 'nbs').glob('*/*.ipynb')
    if '.ipynb_checkpoints' not in p.parts
)


def test_lessons_show_their_minutes():
    "Below the title, and the same in the menu of every page; other pages have none"
    for name in pages:
        text = (site / name).read_text(encoding='utf-8')
        page = name.removesuffix('.html')
        own = re.findall(r'</h1>\s*<p class="minutes">(\d+) minutes? to read</p>', text)
        n = [str(minutes.minutes(minutes.lesson(page)))] if page in lessons else []
        assert own == n, name
        menu = re.search(r'<nav class="bd-links.*?</nav>', text, re.S)[0]
        assert len(re.findall('class="minutes"', menu)) == len(lessons), name
        assert not n or f'<span class="minutes">{n[0]} min</span></a>' in menu, name


def test_minutes_and_prose_agree():
    "Where a lesson says how long it takes to read, our rule does not say something else"
    said = dict(Five=5, Ten=10, Twelve=12, Fifteen=15, Twenty=20, Thirty=30)
    apart = {}
    for page in lessons:
        path = minutes.lesson(page)
        found = re.search(r'(\w+) minutes (?:to read|of reading)', path.read_text(encoding='utf-8'))
        if found:
            apart[page] = abs(said[found[1]] - minutes.minutes(path))
    assert len(apart) > 10
    assert max(apart.values()) <= 5, apart
    assert sorted(apart.values())[len(apart) // 2] <= 2, apart


def test_minutes_count_what_is_read(tmp_path):
    "Prose and shown code, but neither answers that are folded away nor hidden code"
    import nbformat.v4 as v4

    def of(*cells):
        path = tmp_path / f'{len(list(tmp_path.iterdir()))}.ipynb'
        path.write_text(v4.writes(v4.new_notebook(cells=list(cells))), encoding='utf-8')
        return minutes.minutes(path)

    prose = v4.new_markdown_cell('word ' * 2000)
    answer = v4.new_markdown_cell(f'<details>\n{"word " * 2000}\n</details>')

    def twelve(source):
        return [v4.new_code_cell(source) for _ in range(12)]

    code = twelve('print()')
    folded = twelve('#| code-fold: true\nprint()')
    hidden = twelve('#| hide\nprint()')
    assert of(prose) == of(prose, answer, *folded, *hidden) == 10
    assert of(prose, *code) == 12
