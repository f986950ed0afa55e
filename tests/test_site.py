"""The built site (_docs) in a real browser, served below a path as on GitHub Pages, and from the
disk: `make docs`, then `make browser`.

Where there is no site or no browser all of it is skipped, and the reason said, unless
SITE_TEST=must."""

import asyncio
import html
import json
import os
import re
import shutil
import sys
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

root = Path(__file__).parent.parent
sys.path.insert(0, str(root / 'docs'))
import lean  # noqa: E402
import repository  # noqa: E402

site = root / '_docs'
browser = os.getenv('CHROMIUM') or next(
    filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome', 'chrome'))),
    None,
)
sources = [
    p
    for d in (
        'nbs/**/*.ipynb',
        'rnnlm/**/*.py',
        'docs/*.*',
        'docs/_static/*',
        'docs/_templates/*',
        'docs/widgets/*',
    )
    for p in root.glob(d)
]
built = site / '_static/search_index.js'  # docs/search.py writes it last
lacks = (
    'there is no site: make docs'
    if not built.exists()
    else 'the site is older than its sources: make docs'
    if built.stat().st_mtime < max(p.stat().st_mtime for p in sources)
    else 'there is no Chromium; CHROMIUM may name one'
    if not browser
    else 'playwright is not installed'
    if not find_spec('playwright')
    else None
)
if lacks and os.getenv('SITE_TEST') == 'must':
    raise RuntimeError(lacks)
pytestmark = pytest.mark.skipif(bool(lacks), reason=str(lacks))

flags = [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
]
limit = 1800  # seconds for anything done in the browser
tabs = 3  # pages looked at side by side
pages = sorted(str(p.relative_to(site)) for p in site.rglob('*.html') if '_static' not in p.parts)
prompts = [
    'nine thousand',
    'nine thousand nine hundred ninety .',
    'eight thousand two hundred',
    'three thousand four hundred twelve .',
    'one . two . three .',
    'seven thousand nine hundred ninety nine .',
    'forty two',
    'five thousand',
    '.',
    'nine hundred ninety nine . one thousand . one thousand one . one',
]


class Quiet(SimpleHTTPRequestHandler):
    "The site below /rnnlm/, and nothing beside it"

    def translate_path(self, path):
        return (
            super().translate_path(path[len('/rnnlm') :])
            if path.startswith('/rnnlm/')
            else str(site / 'not-there')
        )

    def log_message(self, *args):
        pass


@contextmanager
def served(handler):
    "The address of a server of the site, whose answers `handler` makes"
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(handler, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()


@pytest.fixture(scope='module')
def base():
    with served(Quiet) as address:
        yield f'{address}/rnnlm/'


def with_browser(f, **kwargs):
    "What the coroutine function `f` makes of a fresh browser context"
    from playwright.async_api import async_playwright

    async def go():
        async with async_playwright() as p:
            b = await p.chromium.launch(executable_path=browser, args=flags)
            try:
                return await f(
                    await b.new_context(
                        viewport=dict(width=1280, height=900), color_scheme='light', **kwargs
                    )
                )
            finally:
                await b.close()

    return asyncio.run(asyncio.wait_for(go(), limit))


def watched(page, here):
    "The list that errors, failed requests and requests to others than `here` are added to"
    bad = []
    page.on(
        'console',
        lambda m: bad.append(f'console: {m.text}') if m.type in ('error', 'warning') else None,
    )
    page.on('pageerror', lambda e: bad.append(f'exception: {e}'))
    page.on('requestfailed', lambda r: bad.append(f'failed: {r.url}'))
    page.on('response', lambda r: bad.append(f'{r.status}: {r.url}') if r.status >= 400 else None)
    page.on(
        'request',
        lambda r: (
            None
            if r.url.startswith((here, 'data:', 'blob:'))
            else bad.append(f'elsewhere: {r.url}')
        ),
    )
    return bad


ready = "() => document.readyState === 'complete' && document.fonts.status === 'loaded'"
facts = """() => {
  const all = (s, f) => [...document.querySelectorAll(s)].map(f);
  const behind = o => ['::before', '::after'].map(p => getComputedStyle(o, p));
  return {
    links: all('a[href]', a => a.href),
    ids: all('[id]', o => o.id),
    sources: all('[src]', o => o.src),
    math: all('.math', o => o.querySelector('math')?.getBoundingClientRect().width > 1),
    font: !document.querySelector('math') || [...document.fonts]
      .some(o => o.family.includes('formulas') && o.status === 'loaded'),
    undrawn: all('.fa-solid, .fas, .fab, .far, .fa-brands, .fa-regular', o => getComputedStyle(o))
      .filter(o => o.maskImage === 'none').length
      + all('*', behind).flat().filter(o => /[\ue000-\uf8ff]/.test(o.content)).length,
    pictures: all('.bd-article :is(img, .drawn-box)', o => o.matches('img')
      ? [o.getAttribute('alt') || '', o.naturalWidth]
      : [o.getAttribute('aria-label') || '', o.querySelector('svg').clientWidth]),
    directives: all('.bd-article pre, .bd-article p', o => o.textContent)
      .filter(o => /^#\\|/m.test(o)),
    background: getComputedStyle(document.body).backgroundColor,
    title: document.title,
    next: document.querySelectorAll('.prev-next-footer a').length}}"""
wide = "() => document.documentElement.scrollWidth - innerWidth"
# Code cells that scroll sideways, folded ones too
scrolling = """() => {
  const folded = [...document.querySelectorAll('details:not([open])')];
  for (const o of folded) o.open = true;
  const cells = [...document.querySelectorAll('.cell_input pre')];
  const found = cells.filter(o => o.scrollWidth > o.clientWidth).map(o => o.innerText.slice(0, 60));
  for (const o of folded) o.open = false;
  return found}"""
theme = (
    "t => { document.documentElement.dataset.theme = t; document.documentElement.dataset.mode = t }"
)
# What axe would take minutes over, and what looks the same everywhere, is taken out: the letters of
# formulas, the colours of code past the third box of a page, and the menu's pages past the tenth,
# but for the pages that stand for their kind.
thin = """menuToo => {
  const below = [...document.querySelectorAll('.bd-sidebar-primary li')].slice(10);
  if (menuToo) for (const o of below) o.remove();
  const letters = document.querySelectorAll('math');
  for (const o of letters) o.replaceChildren();
  const code = [...document.querySelectorAll('.highlight pre')].slice(3);
  for (const o of code) o.textContent = o.textContent}"""
audit = """async only => {
  const options = {resultTypes: ['violations'], preload: false, ...(only && {runOnly: only})};
  const said = v => `${v.id}: ${v.nodes.length} × ${v.nodes[0].html.slice(0, 150)} `
    + v.nodes[0].failureSummary.slice(0, 200);
  const where = {include: [['html']], exclude: [['.drawn svg']]};
  return (await axe.run(where, options)).violations
    .filter(v => ['serious', 'critical'].includes(v.impact)).map(said)}"""


# Rules that may be broken at one width alone: the others are about colours and the order of
# things.
at_any_width = [
    'aria-command-name',
    'aria-hidden-focus',
    'aria-input-field-name',
    'aria-toggle-field-name',
    'button-name',
    'image-alt',
    'label',
    'link-name',
    'nested-interactive',
    'role-img-alt',
    'scrollable-region-focusable',
    'select-name',
    'summary-name',
    'svg-img-alt',
    'target-size',
]
# One page of each kind is looked at with all rules at all widths in both themes, the others at 1280
# and at 380 pixels, or, with AXE=kinds, not at all.
kinds = {f'{o}.html' for o in ('index', 'chapter/07_ar_tar', 'api/gru', 'playground', 'search')}
# Would anything move? An element with an animation, a transition or smooth scrolling
moving = """() => {
  const looks = o => [null, '::before', '::after'].map(p => getComputedStyle(o, p));
  const moves = o => o.animationName !== 'none' || o.scrollBehavior === 'smooth'
    || o.transitionDuration.split(', ').some(d => parseFloat(d) > 0);
  return [...document.querySelectorAll('*:not(.drawn svg *)')]
    .some(o => looks(o).some(moves))}"""


@pytest.fixture(scope='module')
def seen(base):
    "What the browser finds on each page, by page"
    axe = (Path(find_spec('axe_playwright_python').origin).parent / 'axe.min.js').read_text(
        encoding='utf-8'
    )

    def audits(name):
        return name in kinds or os.getenv('AXE') != 'kinds'

    async def crawl(context):
        found, todo = {}, list(pages)

        async def audited(page, *only):
            """What axe says; what is still being laid out gets a second and a third look. What
            scrolls is made focusable 350 milliseconds after a new width"""
            if not audits(page.url.removeprefix(base)):
                return []
            for wait in (400, 900, 2500):
                await page.wait_for_timeout(wait)
                if not (said := await page.evaluate(audit, *only)):
                    break
            return said

        async def tab():
            while todo:
                name = todo.pop()
                page = await context.new_page()
                bad, asked = watched(page, base), set()
                page.on('request', lambda r, asked=asked: asked.add(r.url))
                await page.goto(base + name)
                await page.wait_for_function(ready)
                o = found[name] = await page.evaluate(facts) | dict(bad=bad, asked=sorted(asked))
                o['moves'] = await page.evaluate(moving)
                await page.emulate_media(reduced_motion='reduce')
                o['moves when reduced'] = await page.evaluate(moving)
                o['scrolling'] = await page.evaluate(scrolling)
                if audits(name):
                    await page.evaluate(thin, name not in kinds)
                    await page.evaluate(axe)
                o['axe'] = await audited(page)
                await page.evaluate(theme, 'dark')
                colours = ['color-contrast', 'link-in-text-block']
                o['axe'] += [f'dark, {v}' for v in await audited(page, colours)]
                o['dark'] = await page.evaluate(
                    '() => getComputedStyle(document.body).backgroundColor'
                )
                for width in (900, 600, 380) if name in kinds else (380,):
                    await page.set_viewport_size(dict(width=width, height=800))
                    rules = None if name in kinds else at_any_width
                    o['axe'] += [f'{width}, {v}' for v in await audited(page, rules)]
                    if name in kinds:
                        await page.evaluate(theme, 'light')
                        o['axe'] += [f'{width}, light, {v}' for v in await audited(page)]
                        await page.evaluate(theme, 'dark')
                o['wide'] = await page.evaluate(wide)
                o['scrolling'] += await page.evaluate(scrolling)
                await page.close()

        await asyncio.gather(*[tab() for _ in range(tabs)])
        return found

    return with_browser(crawl)


def each(seen, f):
    "The pages where `f` gives something, and what: none, or the test fails"
    bad = {k: v for k, o in sorted(seen.items()) if (v := f(o))}
    assert not bad, json.dumps(bad, indent=1, ensure_ascii=False)[:4000]


def test_all_pages_are_there(seen):
    def below(folder, end):
        found = (p.relative_to(root / folder) for p in (root / folder).rglob(f'*.{end}'))
        return {
            p.with_suffix('.html').as_posix()
            for p in found
            if p.stem[0] != '_' and p.parent.name != '.ipynb_checkpoints'
        }

    plain = {f'{o}.html' for o in ('playground', 'reference', 'cite', 'CHANGELOG', 'CONTRIBUTING')}
    assert below('nbs', 'ipynb') | plain | {f'api/{o}' for o in below('rnnlm', 'py')} <= set(pages)


def test_menu_has_the_folders_as_parts():
    home = (site / 'index.html').read_text(encoding='utf-8')
    parts = re.findall(
        r'<p aria-level="2" class="caption"[^>]*><span class="caption-text">(.*?)</span>', home
    )
    assert parts == [
        'The chapter',
        'Try it',
        'Replication',
        'Beyond',
        'Reference',
        'The project',
    ]


def test_api_pages_say_what_the_source_says():
    """Parameters with meaning and type, results, errors, patched methods, and links to the source
    and to the notebook"""

    def entry(page, name):
        return re.search(
            rf'<dt class="sig[^>]*id="{re.escape(name)}">.*?</dl>\s*</dd>',
            (site / page).read_text(encoding='utf-8'),
            re.S,
        )[0]

    patched = entry('api/lstm.html', 'rnnlm.lstm.LSTMCell.from_torch')
    plain = html.unescape(re.sub(r'<[^>]+>', '', patched))
    assert (
        'm: LSTMCell' in plain
        and 'PyTorch’s cell' in plain
        and 'Ours, on the same device' in plain
        and 'TypeError or ValueError if' in plain
    )
    source = repository.link('rnnlm/lstm.py')  # '' where the repository has no address
    assert bool(source) == ('[source]' in plain)
    assert not source or re.search(rf'href="{re.escape(source)}#L\d+-L\d+"', patched)
    stored = entry('api/replicate/store.html', 'rnnlm.replicate.store.curves_of')
    assert (
        re.search(r'<strong>runs</strong> \(<em>DataFrame</em>\)', stored)
        and 'href="../../replication/03_store.html#' in stored
    )


def test_links_to_names_lead_to_the_api():
    for page, up in (
        ('index.html', ''),
        ('chapter/04_lstm.html', '../'),
        ('replication/02_judge.html', '../'),
    ):
        text = (site / page).read_text(encoding='utf-8')
        assert '.ipynb"' not in re.sub(r'href="(https:|[^"]*_sources/)[^"]*"', '', text), page
        if up:
            assert f'href="{up}api/' in text, page


def test_no_error_and_no_request_elsewhere(seen):
    each(seen, lambda o: o['bad'])


def test_nothing_serious_for_axe(seen):
    each(seen, lambda o: o['axe'])


def test_no_page_wider_than_a_phone(seen):
    each(seen, lambda o: o['wide'] if o['wide'] > 0 else None)


def test_no_code_scrolls_sideways(seen):
    "At 1280 pixels 100 columns fit; on a phone lines wrap"
    each(seen, lambda o: o['scrolling'])


def test_math_is_typeset(seen):
    "By the browser, with the letters that came along"
    each(seen, lambda o: [i for i, done in enumerate(o['math']) if not done] or not o['font'])
    assert sum(len(o['math']) for o in seen.values()) > 100


def test_icons_are_drawn(seen):
    each(seen, lambda o: o['undrawn'])


def test_nothing_moves_for_who_asks_for_less_motion(seen):
    each(seen, lambda o: o['moves when reduced'])
    # the control: without that wish the theme's menus do
    assert all(o['moves'] for o in seen.values())


def test_no_page_is_heavy(seen, base):
    "What the browser loads for a page, beside its pictures, is at most a megabyte and a half"
    pictures = ('.png', '.svg', '.jpg', '.gif', '.webp')

    def weight(o):
        paths = {unquote(urldefrag(u)[0][len(base) :]).split('?')[0] for u in o['asked']}
        return sum((site / p).stat().st_size for p in paths if not p.endswith(pictures))

    weights = {k: weight(o) for k, o in seen.items()}
    for name in sorted(weights, key=weights.get, reverse=True)[:5]:
        print(f'{weights[name] / 1e6:.2f} MB: {name}')
    each(seen, lambda o: weight(o) if weight(o) > 1_500_000 else None)
    # the control: a page with weights of a model is as heavy as they are, and more
    model = (site / '_static/lmmodel7.js').stat().st_size
    assert weights['playground.html'] > model + 300_000 > weights['cite.html']


def test_nothing_lies_about(seen, base):
    "Each file is used by a page, and each page is linked to from another"
    assert not lean.orphans(site)
    linked = {urldefrag(u)[0] for k, o in seen.items() for u in o['links'] if base + k != u}
    alone = [k for k in seen if base + k not in linked]
    # the theme's search field leads to the one, the head of each page to the other
    assert set(alone) <= {'search.html', 'genindex.html'}


def test_pictures_load_and_say_what_they_show(seen):
    assert sum(len(o['pictures']) for o in seen.values()) > 60
    each(seen, lambda o: [p for p in o['pictures'] if len(p[0]) < 4 or not p[1]])


def test_directives_do_not_show(seen):
    each(seen, lambda o: o['directives'])


def test_two_themes(seen):
    each(seen, lambda o: o['dark'] if o['dark'] == o['background'] else None)


def test_links_and_anchors(seen, base):
    anchors = {base + k: set(o['ids']) for k, o in seen.items()}

    def dead(link):
        url, anchor = urldefrag(link)
        if not url.startswith(base):
            return None if url.startswith(('https:', 'mailto:', 'javascript:')) else link
        url = url + 'index.html' if url.endswith('/') else url
        if url in anchors:
            return link if anchor and unquote(anchor) not in anchors[url] else None
        return None if (site / unquote(url[len(base) :]).split('?')[0]).exists() else link

    each(seen, lambda o: sorted(set(filter(None, map(dead, o['links'])))))


def test_previous_and_next(seen):
    each(
        seen,
        lambda o: (
            None
            if o['next'] or o['title'].startswith(('Search', 'Index', 'There is no such page'))
            else 'neither'
        ),
    )


def test_edit_colab_download(seen, base):
    for name in ('index', 'chapter/04_lstm', 'replication/03_store', 'beyond/01_playground'):
        links, path = seen[f'{name}.html']['links'], f'{name}.ipynb'
        source = f'nbs/{path}'
        assert {repository.link(source, 'edit'), repository.colab(source)} - {''} <= set(links), (
            name
        )
        assert base + f'_sources/{path}' in links, name
        assert (site / '_sources' / path).read_bytes() == (root / 'nbs' / path).read_bytes(), name
    edit = repository.link('nbs/replication/03_store.ipynb', 'edit')
    assert not edit or edit in seen['api/replicate/store.html']['links']


def accounts(text):
    "The accounts of GitHub that `text` links to, at github.com, in Colab or at github.io"
    at = (
        r'https?://(?:www\.)?(?:raw\.githubusercontent\.com|'
        r'(?:colab\.[\w.]+/)?github(?:\.com)?)/([\w-]+)'
    )
    return set(re.findall(at, text)) | set(re.findall(r'https?://([\w-]+)\.github\.io', text))


def test_accounts_are_found():
    "The control of the next test: what the site had once, and what it may have"
    ours = [
        'https://github.com/rnnlm/rnnlm/blob/main/x.py#L1',
        'https://rnnlm.github.io/rnnlm/',
        'https://colab.research.google.com/github/rnnlm/rnnlm/blob/main/nbs/index.ipynb',
        'https://raw.githubusercontent.com/rnnlm/rnnlm/main/x.py',
    ]
    assert [accounts(f'<a href="{o}">') for o in ours] == [{'rnnlm'}] * 4
    assert accounts('<a href="https://github.com/fastai/fastai">, https://docs.fast.ai') == {
        'fastai'
    }


def test_no_link_to_an_account_that_is_not_ours():
    """Site, README.md and package: beside the projects that we cite, only the repository's own
    address"""
    cited = {'fastai', 'pytorch', 'salesforce'}
    ours = accounts(repository.address() + '/')
    files = [site / o for o in pages] + [
        root / o for o in ('README.md', 'CITATION.cff', 'settings.ini')
    ]
    found = {p.name: accounts(p.read_text(encoding='utf-8')) - cited - ours for p in files}
    assert not {k: v for k, v in found.items() if v}


def test_nothing_is_left_of_a_link_without_address():
    "A site without an address has no button and no link for it, nor a half of one"
    if repository.address():
        pytest.skip('the repository has an address: ' + repository.address())
    for name in pages:
        text = (site / name).read_text(encoding='utf-8')
        found = re.findall(r'href="[^"]*/(?:blob|edit)/main/[^"]*"|btn-edit|btn-colab', text)
        ours = [o for o in found if not accounts(o)]
        assert not ours and '[source]' not in text and '>source</a>' not in text, (name, ours[:3])
        assert repository.settings()['doc_host'] or 'rel="canonical"' not in text, name


@pytest.fixture(
    params=['', 'https://example.org/someone/rnnlm', 'https://github.com/someone/rnnlm']
)
def at(request, monkeypatch):
    "An address of the repository, as GitHub Actions would say it"
    server, _, name = request.param.partition('/someone/')
    monkeypatch.setenv('GITHUB_SERVER_URL', server)
    monkeypatch.setenv('GITHUB_REPOSITORY', name and f'someone/{name}')
    says = repository.settings() | dict(git_url='', branch='main')
    monkeypatch.setattr(repository, 'settings', lambda: says)
    return request.param


def test_address(at, monkeypatch):
    "The environment first, then settings.ini, else none"
    assert repository.address() == at
    monkeypatch.setattr(
        repository, 'settings', lambda: dict(git_url='https://a.b/c/', branch='dev')
    )
    assert repository.link('x.py', 'edit') == (at or 'https://a.b/c') + '/edit/dev/x.py'


def test_links_into_the_repository(at):
    """Source, edit and Colab, on pages of the API and of notebooks: right with an address, none
    without"""
    import cells
    import conf

    lines = conf.linkcode_resolve('py', dict(module='rnnlm.lstm', fullname='LSTMCell'))
    assert (
        re.fullmatch(re.escape(f'{at}/blob/main/rnnlm/lstm.py') + r'#L\d+-L\d+', lines)
        if at
        else lines is None
    )

    for host in ('', 'https://github.com/other/rnnlm'):  # whatever nbdev took for it
        text = f'[source]({host}/blob/main/rnnlm/a.py#L3){{target="_blank"}}\n\n### A\n\nText'
        link = f'[source]({at}/blob/main/rnnlm/a.py#L3)\n\n' if at else ''
        assert cells.source_below(text).split() == f'### A\n\n{link}Text'.split()

    context = dict(pathto=lambda name, _: name)
    conf.buttons(None, 'chapter/04_lstm', None, context, 'a tree')
    urls = {o['label']: o['url'] for o in context['header_buttons']}
    path = 'main/nbs/chapter/04_lstm.ipynb'
    expected = dict(download='_sources/chapter/04_lstm.ipynb')
    if at:
        expected |= dict(edit=f'{at}/edit/{path}')
    if at.startswith('https://github.com'):
        expected |= dict(
            colab=f'https://colab.research.google.com/github/someone/rnnlm/blob/{path}'
        )
    assert urls == expected


def test_theme_button_and_disk(base):
    "From the disk: the button changes the theme, and every kind of page works"

    async def press(context):
        found = []
        for name in (
            'index.html',
            'chapter/04_lstm.html',
            'api/lstm.html',
            'api/replicate/store.html',
            'playground.html',
        ):
            page = await context.new_page()
            bad = watched(page, 'file://')
            await page.goto((site / name).as_uri())
            await page.wait_for_function(ready)
            await page.wait_for_selector(
                '.theme-change-button.active', state='attached'
            )  # the theme's script is ready
            modes = [await page.evaluate('() => document.documentElement.dataset.theme')]
            for mode in ('dark', 'light'):
                await page.click('.theme-switch-button:visible')
                await page.wait_for_timeout(300)  # until the menu has found its place
                await page.click(f'.theme-change-button[data-mode={mode}]:visible')
                modes.append(await page.evaluate('() => document.documentElement.dataset.theme'))
            found.append(
                (
                    name,
                    bad,
                    set(modes),
                    await page.evaluate(
                        """() => document.querySelectorAll('math').length > 0 ||
                        !document.querySelector('.math')"""
                    ),
                )
            )
            await page.close()
        return found

    for name, bad, modes, math in with_browser(press):
        assert not bad and modes == {'light', 'dark'} and math, (name, bad, modes, math)


focused = """() => {
  const o = document.activeElement, look = getComputedStyle(o), box = o.getBoundingClientRect();
  const ring = look.outlineStyle !== 'none' && parseFloat(look.outlineWidth) > 0;
  const inside = box.width > 0 && box.right > 0 && box.bottom > 0 && box.top < innerHeight;
  return {html: o.outerHTML.slice(0, 120), seen: inside && (ring || look.boxShadow !== 'none'),
    main: !!o.closest('main'), inMenu: !!o.closest('dialog[open]'), text: o.textContent.trim()}}"""


def test_with_the_keyboard_alone():
    "From the disk: the way past the menu, a ring around what has the focus, the menus of a phone"

    async def press(context):
        page = await context.new_page()
        bad = watched(page, 'file://')
        await page.goto((site / 'chapter/04_lstm.html').as_uri())
        await page.wait_for_function(ready)
        found = dict(bad=bad, steps=[], menus=[])

        async def step(key='Tab'):
            await page.keyboard.press(key)
            found['steps'].append(await page.evaluate(focused))
            return found['steps'][-1]

        found['first'] = await step()
        await page.keyboard.press('Enter')
        found['past'] = await step()
        for _ in range(25):
            await step()
        await page.set_viewport_size(dict(width=380, height=800))
        axe = Path(find_spec('axe_playwright_python').origin).parent / 'axe.min.js'
        await page.evaluate(axe.read_text(encoding='utf-8'))
        for toggle in ('.primary-toggle', '.secondary-toggle', '.search-button:visible'):
            button = page.locator(toggle).first
            await button.focus()
            await page.keyboard.press('Enter')
            await page.wait_for_selector('dialog[open]')
            menu = [(await page.evaluate(focused))['inMenu']]
            menu += await page.evaluate(audit, ['aria-dialog-name', *at_any_width])
            await page.keyboard.press('Escape')
            await page.wait_for_function("() => !document.querySelector('dialog[open]')")
            await page.wait_for_timeout(100)
            menu.append(await button.evaluate('o => o === document.activeElement'))
            found['menus'].append(menu)
        return found

    found = with_browser(press, reduced_motion='reduce')
    assert not found['bad']
    assert found['first']['text'] == 'Skip to main content' and found['past']['main'], found
    assert not [o['html'] for o in found['steps'] if not o['seen']]
    assert found['menus'] == [[True, True]] * 3


@pytest.fixture(scope='module')
def typed(base):
    "What the playground makes of prompts and of bad input"
    odd = {
        'unknown word': 'nine zillion',
        'zero': '0',
        'too large': '10,000',
        'missing': '8000',
        'fraction': '2.5',
        'negative': '-3',
        'nothing': '',
        'spaces': '  \n ',
        '10,000 words': 'nine . ' * 5000,
    }

    async def play(context):
        page = await context.new_page()
        bad = watched(page, base)
        await page.goto(base + 'playground.html')
        opens = [await page.inner_text(f'#play-{o}') for o in ('message', 'lost')]
        lost = await page.locator('#play-lost mark').count()
        count = 'p => Counting.goOn(Counting.parse(p), 30)'
        runs = {p: await page.evaluate(count, p) for p in prompts}
        await page.click('#play-each > summary')
        messages, shown = {}, {}

        async def submit(text, n='20'):
            await page.fill('#play-text', text)
            await page.fill('#play-n', n)
            await page.click('#play button[type=submit]')
            return await page.inner_text('#play-message')

        for k, text in odd.items():
            messages[k] = await submit(text), await page.locator('#play-steps > li').count()
        messages['too many steps'] = (
            await submit('nine', '1000'),
            await page.locator('#play-steps > li').count(),
        )
        for p in prompts:
            await submit(p)
            shown[p] = await page.eval_on_selector_all(
                '#play-steps > li',
                """l => l.map(o => [
                  o.querySelector('strong').textContent,
                  o.querySelector('.play-verdict').textContent,
                  [...o.querySelectorAll('button')].map(b => b.firstChild.textContent)])""",
            )
        await page.fill('#play-text', '3411 3412')
        await page.press('#play-text', 'Shift+Enter')
        await page.keyboard.type('3413')
        await page.keyboard.press('Enter')
        line = await page.inner_text('#play-line')
        await page.click('#play-examples button >> nth=0')
        await page.click('#play-steps > li:first-child li:nth-child(2) button')
        other = await page.input_value('#play-text')
        lines = await page.evaluate('() => Counting.lines')
        return runs, messages, shown, other, lines, bad, (opens, lost, line)

    return with_browser(play)


def test_playground_counts_as_pytorch_does(typed):
    import torch
    from rnnlm.data import human_numbers, numericalize
    from rnnlm.playground import go_on, load_weights

    model, vocab = load_weights()
    runs, _, shown, _, lines, bad, _ = typed
    assert lines == human_numbers() and not bad
    for p in prompts:
        steps, words = runs[p]['steps'], p.split()
        ours = go_on(model, vocab, words, 30)
        assert [o['word'] for o in steps] == list(ours.word), p
        assert [o['true'] for o in steps] == list(ours.true) and [o['ok'] for o in steps] == list(
            ours.ok
        ), p
        assert [[f['word'] for f in o['five']] for o in steps] == [
            [w for w, _ in five] for five in ours.five
        ], p
        with torch.no_grad():
            logits = model(numericalize(words + list(ours.word)[:-1], vocab)[None])[0][
                0, len(words) - 1 :
            ]
        model.reset()
        gap = (torch.tensor([o['logits'] for o in steps]) - logits).abs().max().item()
        assert gap < 1e-4, (p, gap)
        verdicts = [
            (
                'right'
                if ok
                else 'nothing to compare with'
                if ok is None
                else f'wrong: the count has “{t}”'
            )
            for ok, t in zip(ours.ok, ours.true)
        ]
        assert [tuple(o[:2]) for o in shown[p]] == list(zip(ours.word, verdicts))[:20], p
        assert [o[2] for o in shown[p]] == [[w for w, _ in five] for five in ours.five][:20], p


def test_playground_takes_another_word(typed):
    before = 'forty one . forty two . forty three . '
    assert typed[3].startswith(before) and len(typed[3].split()) == 10


def test_playground_opens_on_a_success_and_shows_the_failure(typed):
    (message, failure), lost, line = typed[6]
    assert message == '20 words: 20 right, 0 wrong.'
    assert failure.startswith('nine thousand four hundred eleven .') and lost
    # Shift+Enter has begun a line, and Enter has run it
    assert line.startswith(
        'three thousand four hundred eleven . three thousand four hundred twelve . '
        'three thousand four hundred thirteen . three thousand four hundred fourteen'
    )


@pytest.mark.parametrize(
    'what,says',
    [
        ('unknown word', '“zillion” is not among'),
        ('zero', 'There is no 0. The count begins at 1.'),
        ('too large', '10,000 is too large. The count ends at 9,999.'),
        ('missing', 'The corpus has no 8000. After 7,999 it has 8,001.'),
        ('fraction', '2.5 is not a whole number'),
        ('negative', '-3 is below zero'),
        ('nothing', 'Type a few numbers first'),
        ('spaces', 'Type a few numbers first'),
        ('10,000 words', 'That is 10,000 words. The model reads 1,000'),
        ('too many steps', 'from 1 to 100'),
    ],
)
def test_playground_refuses(typed, what, says):
    message, steps = typed[1][what]
    assert says in message and steps == 0


def test_pages_say_what_they_are():
    "Each a title and a description of its own, for browsers, search engines and previews"
    found, titles = {}, {}
    for name in pages:
        text = (site / name).read_text(encoding='utf-8')
        found[name] = re.search(r'<meta name="description" content="([^"]+)">', text)[1]
        titles[name] = html.unescape(re.search(r'<title>(.+?)</title>', text)[1])
        said = html.unescape(re.search(r'property="og:title" content="([^"]+)"', text)[1])
        assert titles[name] == f'{said} · {repository.settings()["lib_name"]}'
    assert len(set(found.values())) == len(set(titles.values())) == len(pages)
    assert min(map(len, found.values())) > 40
    assert titles['chapter/04_lstm.html'] == 'How an LSTM remembers · rnnlm'
    assert not (site / '.doctrees').exists()
