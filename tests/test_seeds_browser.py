"""The explorer of the seeds, on its own page and on the home page, in a real browser as
tests/test_site.py tries the others: from a server and from the disk, with the keyboard, on a
phone."""

import json
import subprocess
import sys
from urllib.parse import parse_qs, urldefrag

import pytest
from one_page import faults, opened
from test_site import base, pytestmark, root, site, with_browser

from rnnlm.ablation import share_wrong
from rnnlm.tables import published, reference

__all__ = ['base', 'pytestmark']  # pytest finds them by their names

models = ('LMModel4', 'LMModel5', 'LMModel6', 'LMModel7')


def last(model):
    "The last accuracy of each seed"
    runs = reference(model)
    return runs[runs.epoch == 14].set_index('seed').accuracy


def share(model, other):
    return share_wrong(last(model).to_numpy(), last(other).to_numpy())


@pytest.fixture(scope='module')
def done():
    "What the page says and does, from the disk"

    async def use(context):
        page, bad = await opened(context, (site / 'seeds.html').as_uri(), 'file://')
        found = dict(bad=bad)
        found['dots'] = await page.locator('.seeds-dot').count()
        found['rows'] = await page.eval_on_selector_all(
            '#seeds-numbers tbody tr', 'l => l.map(o => [...o.children].map(c => c.textContent))'
        )
        found['all'] = await page.evaluate('() => Seeds.allWrong()')
        found['shares'] = await page.evaluate('() => Seeds.wrongShares()')
        found['one'] = await page.inner_text('#seeds-result')

        # the keyboard: to the worst seed of LMModel6, then four up
        await page.focus('[data-model=LMModel6]')
        for key in ('Home', *['ArrowRight'] * 4):
            await page.keyboard.press(key)
        found['selected'] = await page.evaluate('() => Seeds.lit')
        found['spoken'] = await page.get_attribute('[data-model=LMModel6]', 'aria-valuetext')
        found['caption'] = await page.inner_text('#seeds-which')

        # Enter draws pairs
        await page.focus('#seeds-form [type=submit]')
        found['pairs'] = []
        for _ in range(3):
            await page.keyboard.press('Enter')
            pair = [await page.inner_text(f'#seeds-{o}') for o in ('pair', 'count')]
            found['pairs'].append([await page.evaluate('() => Seeds.lit'), *pair])
        await page.click('#seeds-hundred')
        found['drawn'] = await page.evaluate('() => Seeds.drawn')
        found['count'] = await page.inner_text('#seeds-count')

        await page.focus('#seeds-k')
        for _ in range(4):
            await page.keyboard.press('ArrowRight')
        found['five'] = await page.inner_text('#seeds-result')
        await page.click('[data-model=LMModel4] .seeds-name')
        await page.wait_for_timeout(500)
        found['hash'] = urldefrag(page.url)[1]
        found['tapped'] = await page.evaluate('() => Seeds.lit')
        return found

    return with_browser(use)


def test_nothing_goes_wrong(done):
    assert not done['bad']


def test_a_dot_a_seed(done):
    assert done['dots'] == 800
    for model, row in zip(models, done['rows']):
        ends = last(model)
        book = published(model).accuracy.iloc[-1]
        wanted = [f'{o:.4f}' for o in (ends.mean(), ends.min(), ends.max(), book)]
        assert row == [model, *wanted, f'{(ends < book).sum()} of 200']


def test_the_share_of_wrong_pairs_is_pythons(done):
    wrong = share('LMModel4', 'LMModel5')
    assert done['all'] == dict(wrong=round(wrong * 40_000), all=40_000)
    assert done['shares'][0] == pytest.approx(wrong) and len(done['shares']) == 50
    assert f'{100 * wrong:.2f}\xa0%' in done['one']


def test_more_seeds_are_right_more_often(done):
    "As numpy's own resamples say, within five standard errors"
    import numpy as np

    rng = np.random.default_rng(0)
    one, two = (last(o).to_numpy() for o in models[:2])
    for k in (2, 3, 5):
        means = [rng.choice(o, (50_000, k)).mean(1) for o in (one, two)]
        wrong = (means[0] <= means[1]).mean()
        error = (wrong * (1 - wrong) / 2000) ** 0.5
        assert abs(done['shares'][k - 1] - wrong) < 5 * error + 1e-3, k
    assert done['shares'][-1] == 0
    assert 'With 5 seeds of each' in done['five'] and 'of 2,000 resamples' in done['five']


def test_what_the_text_says(done):
    "The numbers of the guesses"
    text = (root / 'docs/seeds.md').read_text(encoding='utf-8')
    one, two = (last(o) for o in models[:2])
    books = [published(o).accuracy.iloc[-1] for o in models[:2]]
    wrong = share('LMModel4', 'LMModel5')
    assert f'{wrong * 40_000:,.0f} of all 40,000 pairs, {100 * wrong:.2f}&nbsp;%' in text
    assert f'a gap of {books[0] - books[1]:.3f}' in text
    assert f'Smaller, {one.mean() - two.mean():.3f}' in text
    assert f'only {(two < books[1]).sum()} of our 200 seeds end below it' in text
    assert f'is above {(one < books[0]).sum()}' in text
    assert done['shares'][1] >= 0.01 > done['shares'][2] and 'Three for one layer' in text
    assert share('LMModel7', 'LMModel5') == 0


def test_arrow_keys_light_up_a_seed(done):
    ends = last('LMModel6').sort_values(kind='stable')
    [lit] = done['selected']
    assert lit['model'] == 'LMModel6' and lit['accuracy'] == pytest.approx(ends.iloc[4])
    assert last('LMModel6')[lit['seed']] == pytest.approx(lit['accuracy'])
    said = f'eed {lit["seed"]}, accuracy {ends.iloc[4]:.4f}'
    assert f'S{said}, place 5 of 200' in done['spoken'] and said in done['caption']


def test_pairs_are_told_as_they_are(done):
    for i, (lit, story, count) in enumerate(done['pairs'], 1):
        assert [o['model'] for o in lit] == ['LMModel4', 'LMModel5']
        one, two = (last(o['model'])[o['seed']] for o in lit)
        assert f'seed {lit[1]["seed"]}: {two:.4f}' in story
        assert ('The true story' if one > two else 'The wrong story') in story
        assert f'Drawn so far: {i} pair' in count
    drawn, wrong = done['drawn'].values()
    assert drawn == 103 and f'103 pairs, {wrong} wrong' in done['count']
    assert 'Of all 40,000 pairs 2,052 are wrong: 5.13\xa0%' in done['count']


def test_the_address_holds_the_state(done, base):
    [lit] = done['tapped']
    assert lit['model'] == 'LMModel4'
    state = dict(a=['LMModel4'], b=['LMModel5'], k=['5'], lit=[f'LMModel4-{lit["seed"]}'])
    assert parse_qs(done['hash']) == state

    async def recall(context):
        address = 'seeds.html#a=LMModel6&b=LMModel4&k=7&lit=LMModel7-1003,LMModel5-1199'
        page, bad = await opened(context, base + address, base)
        chosen = await page.eval_on_selector_all(
            '.seeds select, #seeds-k', 'l => l.map(o => o.value)'
        )
        lit = await page.evaluate('() => Seeds.lit.map(o => o.seed)')
        # nonsense is passed over
        address = 'seeds.html#a=LMModel9&b=__proto__&k=99&lit=LMModel4-1,x'
        page, more = await opened(context, base + address, base)
        usual = await page.evaluate('() => Seeds.lit.map(o => o.model)')
        # a model is not compared with itself
        await page.select_option('[name=b]', 'LMModel4')
        swapped = await page.eval_on_selector_all('.seeds select', 'l => l.map(o => o.value)')
        return bad + more, chosen, lit, usual, swapped

    bad, chosen, seeds, usual, swapped = with_browser(recall)
    assert not bad and chosen == ['LMModel6', 'LMModel4', '7'] and seeds == [1003, 1199]
    assert usual == ['LMModel4'] and swapped == ['LMModel5', 'LMModel4']


def test_both_themes_and_a_phone(base):
    "With every fold open and a pair lit: axe finds nothing serious, nothing scrolls sideways"
    async def look(context):
        page, bad = await opened(context, base + 'seeds.html', base)
        await page.click('#seeds-hundred')
        return bad, await faults(page)

    bad, found = with_browser(look, reduced_motion='reduce')
    assert not bad and not found, json.dumps(bad + found, indent=1, ensure_ascii=False)


@pytest.fixture(scope='module')
def home():
    "What the home page says and does, from the disk"

    async def use(context):
        page, bad = await opened(context, (site / 'index.html').as_uri(), 'file://')
        found = dict(bad=bad, lit=[])

        async def keep():
            found['lit'].append(await page.evaluate('() => Seeds.lit'))

        async def bottom(selector):
            return await page.eval_on_selector(selector, 'o => o.getBoundingClientRect().bottom')

        found['dots'] = await page.locator('.seeds-dot').count()
        found['low'] = {o: await bottom(o) for o in ('.home-start', '.seeds-all', '#seeds-hundred')}
        found['links'] = await page.eval_on_selector_all(
            '.home-start a', "l => l.map(o => o.getAttribute('href'))"
        )
        # a pointer on the dot of the LSTM's best run
        box = await page.locator('[data-model=LMModel6] .seeds-dot').last.bounding_box()
        await page.mouse.move(box['x'] + box['width'] / 2, box['y'] + box['height'] / 2)
        await keep()
        found['curve'] = await page.get_attribute('.seeds-run', 'd')
        # the keyboard: to the best seed of the last model, then one down
        await page.focus('[data-model=LMModel7]')
        for key in ('End', 'ArrowLeft'):
            await page.keyboard.press(key)
        await keep()
        found['caption'] = await page.inner_text('#seeds-which')
        found['other curve'] = await page.get_attribute('.seeds-run', 'd')
        # a place on this page is no state of the explorer
        await page.evaluate("() => { location.hash = '#the-notebooks' }")
        await keep()
        found['hash'] = urldefrag(page.url)[1]
        # Enter draws a pair
        await page.focus('#seeds-form [type=submit]')
        await page.keyboard.press('Enter')
        await keep()
        found['story'] = await page.inner_text('#seeds-pair')
        await page.wait_for_timeout(50)
        moves = 'o => getComputedStyle(o).animationName'
        found['moves'] = await page.eval_on_selector('.seeds-run', moves)
        await page.click('#seeds-hundred')
        found['count'] = await page.inner_text('#seeds-count')
        found['drawn'] = await page.evaluate('() => Seeds.drawn')
        await keep()
        # the link leads to the same pair
        await page.click('#seeds-more')
        await page.wait_for_selector('#seeds-k')
        await keep()
        return found

    return with_browser(use)


def test_home_has_the_explorer_on_its_first_screen(home):
    assert not home['bad'] and home['dots'] == 800
    assert max(home['low'].values()) <= 900, home['low']
    targets = ['chapter/01_data.html', 'train.html', 'replication/06_your_own_table.html']
    assert home['links'] == targets


def test_home_lights_up_what_is_pointed_at(home):
    [pointed], [best], [kept], *_ = home['lit']
    assert pointed['model'] == 'LMModel6' and pointed['accuracy'] == last('LMModel6').max()
    ends = last('LMModel7').sort_values()
    assert best['model'] == 'LMModel7' and best['accuracy'] == pytest.approx(ends.iloc[-2])
    assert f'seed {best["seed"]}, accuracy {ends.iloc[-2]:.4f}' in home['caption']
    assert home['curve'] != home['other curve']
    assert kept == best and home['hash'] == 'the-notebooks'


def test_home_draws_pairs(home):
    *_, pair, hundredth, there = home['lit']
    one, two = (last(o['model'])[o['seed']] for o in pair)
    assert [o['model'] for o in pair] == ['LMModel4', 'LMModel5']
    assert ('The true story' if one > two else 'The wrong story') in home['story']
    assert f'One plain layer, seed {pair[0]["seed"]}: {one:.4f}' in home['story']
    ahead = 'one plain layer is' if one > two else 'two plain layers are'
    assert one == two or f'{ahead} ahead by {abs(one - two):.3f}' in home['story']
    assert home['drawn']['drawn'] == 101
    assert f'101 pairs, {home["drawn"]["wrong"]} wrong' in home['count']
    assert hundredth == there and home['moves'] == 'seeds-grows'


def test_home_in_both_themes_and_on_a_phone(base):
    "axe finds nothing serious, nothing scrolls sideways; who wants no motion sees none"

    async def look(context):
        page, bad = await opened(context, base + 'index.html', base)
        await page.click('#seeds-hundred')
        moves = await page.eval_on_selector('.seeds-run', 'o => getComputedStyle(o).animationName')
        found = await faults(page)
        # faults leaves the page at 380 pixels: the explorer begins on a phone's first screen
        await page.evaluate('() => scrollTo(0, 0)')
        top = await page.eval_on_selector('#seeds-dots', 'o => o.getBoundingClientRect().top')
        await page.locator('[data-model=LMModel7] .seeds-field').click()
        lit = await page.evaluate('() => Seeds.lit.map(o => o.model)')
        return bad, found, moves, top, lit

    bad, found, moves, top, lit = with_browser(look, reduced_motion='reduce')
    assert not bad and not found, json.dumps(bad + found, indent=1, ensure_ascii=False)
    assert moves == 'none' and top < 800 and lit == ['LMModel7']


def test_the_data_are_what_build_makes():
    command = [sys.executable, str(root / 'docs/seeds/build.py'), '--check']
    assert subprocess.run(command, timeout=120).returncode == 0
    own = [*root.glob('docs/_static/seeds*'), root / 'docs/seeds.md']
    own += root.glob('docs/widgets/seeds.html')
    assert sum(o.stat().st_size for o in own) < 250_000
