"""The figures of the built site in a real browser, from the disk: in the theme's colours, one below
the other on a phone, letters that can be read."""

import pytest
from one_page import opened
from test_site import pytestmark, site, theme, with_browser

__all__ = ['pytestmark']  # pytest finds it by its name

pages = (
    'chapter/04_lstm',
    'replication/08_mistakes',
    'replication/18_chaos',
    'replication/21_inks',
)
# In what colour a figure's letters and lines are, where its panels stand, how large letters are
facts = """() => [...document.querySelectorAll('.drawn')].map(figure => {
  const box = figure.querySelector('.drawn-box');
  const shown = [...box.querySelectorAll('svg')].filter(o => o.getBoundingClientRect().width > 1);
  const letters = shown.flatMap(svg => {
    const scale = svg.getBoundingClientRect().width/svg.viewBox.baseVal.width;
    return [...box.querySelectorAll('svg:first-child text')].map(
      o => scale*parseFloat(getComputedStyle(o).fontSize))});
  const place = o => ['top', 'bottom'].map(side => o.getBoundingClientRect()[side]);
  // what is behind the figure, and in what its caption is written
  const behind = o => {
    const own = getComputedStyle(o).backgroundColor;
    return own !== 'rgba(0, 0, 0, 0)' || !o.parentElement ? own : behind(o.parentElement)};
  return {
    behind: behind(box), page: getComputedStyle(document.body).backgroundColor,
    written: getComputedStyle(figure.querySelector('figcaption')).color,
    prose: getComputedStyle(document.querySelector('.bd-article p')).color,
    caption: figure.querySelector('figcaption').textContent,
    said: box.getAttribute('aria-label'),
    fill: [...new Set([...box.querySelectorAll('text')].map(o => getComputedStyle(o).fill))],
    panels: shown.map(place), axes: box.querySelectorAll('svg:first-child .drawn-axes').length,
    smallest: Math.min(...letters), scrolls: box.scrollWidth > box.clientWidth + 1,
    reached: box.tabIndex === 0}})"""
colour = "() => getComputedStyle(document.documentElement).getPropertyValue('--ink-text').trim()"


@pytest.fixture(scope='module')
def seen():
    "By page and width: what is found in both themes"

    async def look(context):
        found = {}
        for name in pages:
            page, bad = await opened(context, (site / f'{name}.html').as_uri(), 'file://')
            for width in (1280, 380):
                await page.set_viewport_size(dict(width=width, height=900))
                await page.wait_for_timeout(700)
                for which in ('light', 'dark'):
                    await page.evaluate(theme, which)
                    await page.wait_for_timeout(400)
                    found[name, width, which] = dict(
                        figures=await page.evaluate(facts),
                        text=await page.evaluate(colour),
                    )
            # the way back: the whole again
            await page.set_viewport_size(dict(width=1280, height=900))
            await page.wait_for_timeout(400)
            found[name, 'again', 'light'] = dict(figures=await page.evaluate(facts))
            found[name, 'bad', 'light'] = bad
            await page.close()
        return found

    return with_browser(look)


def as_rgb(code):
    return 'rgb({}, {}, {})'.format(*(int(code[i : i + 2], 16) for i in (1, 3, 5)))


@pytest.mark.parametrize('name', pages)
def test_figures_stand_in_the_page_with_number_and_caption(seen, name):
    found = seen[name, 1280, 'light']['figures']
    assert found and seen[name, 'bad', 'light'] == []
    for i, o in enumerate(found, 1):
        assert o['caption'].startswith(f'Figure {i}. ') and len(o['said']) > 15


@pytest.mark.parametrize('name', pages)
def test_letters_follow_the_theme(seen, name):
    texts = {seen[name, 1280, o]['text'] for o in ('light', 'dark')}
    assert len(texts) == 2
    for which in ('light', 'dark'):
        own = as_rgb(seen[name, 1280, which]['text'])
        assert any(own in o['fill'] for o in seen[name, 1280, which]['figures'])
        for o in seen[name, 1280, which]['figures'] + seen[name, 380, which]['figures']:
            assert o['behind'] == o['page'] and o['written'] == o['prose'], o['caption']
    light, dark = (seen[name, 1280, o]['figures'] for o in ('light', 'dark'))
    assert all(a['fill'] != b['fill'] for a, b in zip(light, dark) if a['fill'])


@pytest.mark.parametrize('name', pages)
def test_letters_can_be_read_on_a_phone(seen, name):
    for o in seen[name, 380, 'light']['figures']:
        assert o['smallest'] > 8.95, o['caption']
        # what is wider than the phone is reached with the keyboard
        assert o['reached'] or not o['scrolls'], o['caption']


@pytest.mark.parametrize('name', ['replication/08_mistakes', 'replication/18_chaos'])
def test_panels_stand_below_each_other_on_a_phone(seen, name):
    many = [o for o in seen[name, 380, 'light']['figures'] if o['axes'] > 1]
    assert many
    for o in many:
        assert len(o['panels']) == o['axes']
        for (_, above), (below, _) in zip(o['panels'], o['panels'][1:]):
            assert below >= above
    for width in (1280, 'again'):
        assert all(len(o['panels']) == 1 for o in seen[name, width, 'light']['figures'])


def test_strips_above_each_other_stay_one_figure(seen):
    "Three strips and their colour bars share an axis of words"
    strips = [o for o in seen['chapter/04_lstm', 380, 'light']['figures'] if o['axes'] == 6]
    assert len(strips) == 1 and len(strips[0]['panels']) == 1


heads = """() => [...document.querySelectorAll('.bd-article table')].map(table => {
  const rows = [table.tHead.rows[0], table.tBodies[0].rows[0]];
  return rows.map(row => [...row.cells].map(o => o.textContent.replace('\\u00ad', '').trim()))})"""


def test_a_verdict_comes_first_on_a_phone():
    "With its cells; and it goes back where there is room again"

    async def look(context):
        found = []
        page, _ = await opened(context, (site / 'replication/02_judge.html').as_uri(), 'file://')
        for width in (1280, 380, 1280):
            await page.set_viewport_size(dict(width=width, height=900))
            await page.wait_for_timeout(500)
            found.append(await page.evaluate(heads))
        return found

    wide, phone, again = with_browser(look)
    moved = 0
    for (was, first), (now, row), whole in zip(wide, phone, again):
        assert whole == [was, first]
        if 'reproduced' not in was:
            continue
        at = was.index('reproduced') - len(was)
        place = now.index('reproduced')
        assert now[place] == was[at] and row[place - len(now)] == first[at]
        assert place < len(was) + at and sorted(now) == sorted(was)
        moved += 1
    assert moved
