"""The page "Train it here" in a real browser, as tests/test_site.py tries the others: from a server
and from the disk, with the keyboard, on a phone."""

import json
from urllib.parse import parse_qs, urldefrag

import pytest
from one_page import faults, opened
from test_site import base, pytestmark, site, with_browser

from rnnlm.tables import published, reference

__all__ = ['base', 'pytestmark']  # pytest finds them by their names

idle = '() => !Training.busy'
patience = 300_000  # milliseconds for a training
latest = '() => Training.runs.at(-1).rows'


@pytest.fixture(scope='module')
def done(base):
    "What the buttons do, from the server"

    async def press(context):
        page, bad = await opened(context, base + 'train.html', base)
        found = dict(bad=bad)

        async def trained(button):
            await page.click(button)
            await page.wait_for_function(idle, timeout=patience)
            return await page.inner_text('#train-result')

        found['said'] = await trained('[data-model=LMModel5]')
        found['rows'] = await page.evaluate(latest)
        found['said of another'] = await trained('#train-another')
        found['runs'] = await page.evaluate('() => Training.runs.map(o => o.seed)')
        found['lines'] = await page.locator('#train-accuracy .run').count()
        found['said of the book'] = await trained('#train-book')
        found['book'] = await page.evaluate(latest)
        found['table'] = await page.eval_on_selector_all(
            '#train-numbers tbody tr', 'l => l.map(o => o.children[5].textContent)'
        )
        found['hash'] = urldefrag(page.url)[1]
        found['spoken'] = await page.get_attribute('#train-accuracy', 'aria-label')
        return found

    return with_browser(press)


def test_nothing_goes_wrong(done):
    assert not done['bad']


def test_lmmodel5_ends_where_our_seeds_do(done):
    runs = reference('LMModel5').groupby('epoch').accuracy
    rows = done['rows']
    inside = [a <= o[2] <= b for o, a, b in zip(rows, runs.min(), runs.max())]
    assert len(rows) == 15 and sum(inside) >= 13, rows
    assert f'accuracy {rows[-1][2]:.4f}' in done['said']
    assert 'of our 200 seeds end below it' in done['said']


def test_another_seed_is_another_line(done):
    assert done['runs'] == [1, 2] and done['lines'] == 2
    assert 'seed 2' in done['said of another'] != done['said']


def test_the_books_digits_come_back(done):
    book = published('LMModel5').accuracy
    same = [abs(o[2] - p) < 5e-5 for o, p in zip(done['book'], book)]
    # a single prediction may fall out differently: see tests/test_train.py
    assert sum(same) >= 10 and max(abs(o[2] - p) for o, p in zip(done['book'], book)) < 2e-4
    assert f'{sum(same)} of the 15 accuracies agree' in done['said of the book']
    assert done['table'] == [f'{o[2]:.4f}' for o in done['book']]
    assert parse_qs(done['hash']) == dict(model=['LMModel5'], seed=['42'], after=['20570'])


def test_the_chart_is_put_into_words(done):
    assert 'the book prints 0.488' in done['spoken'] and 'after 15 epochs' in done['spoken']


def test_from_the_disk_with_the_keyboard_by_its_address():
    "The address sets the controls; Enter trains, and Stop has the focus until it is pressed"
    address = (site / 'train.html').as_uri() + '#model=LMModel5&seed=5&unit=ReLU&layers=1&lr=99'

    async def press(context):
        page, bad = await opened(context, address, 'file://')
        state = """() => [...document.querySelectorAll('#train [name]')]
          .map(o => o.type === 'checkbox' ? o.checked : o.value)"""
        before = await page.evaluate(state)
        await page.focus('#train [type=submit]')
        await page.keyboard.press('Enter')
        await page.wait_for_function('() => Training.runs.at(-1)?.rows.length > 0')
        focused = await page.evaluate('() => document.activeElement.id')
        await page.keyboard.press('Enter')
        await page.wait_for_function(idle)
        back = await page.evaluate('() => document.activeElement.type')
        said = await page.inner_text('#train-result')
        await page.fill('[name=lr]', '-1')
        await page.keyboard.press('Enter')
        refused = await page.inner_text('#train-result')
        await page.click('[data-set] >> nth=2')
        return bad, before, focused, back, said, refused, urldefrag(page.url)[1]

    bad, before, focused, back, said, refused, address = with_browser(press)
    assert not bad
    # an impossible learning rate is passed over
    assert before == ['LMModel5', '1', 'ReLU', '0.003', 'high', '0.01', '0', '0', '0', '5', False]
    assert (focused, back) == ('train-stop', 'submit') and said.startswith('Stopped after')
    assert 'Learning rate: a number from 0.0001 to 0.1 is needed' in refused
    assert parse_qs(address) == dict(model=['LMModel7'], seed=['5'], tied=['0'])


@pytest.mark.parametrize('model', ['LMModel6', 'LMModel7'])
def test_lstms_train_too(base, model):
    "Two epochs of each"

    async def press(context):
        page, bad = await opened(context, base + 'train.html', base)
        await page.click(f'[data-model={model}]')
        await page.wait_for_function(
            '() => Training.runs.at(-1)?.rows.length > 1', timeout=patience
        )
        await page.click('#train-stop')
        return bad, await page.evaluate(latest)

    bad, rows = with_browser(press)
    runs = reference(model)
    for epoch, row in enumerate(rows[:2]):
        seeds = runs[runs.epoch == epoch]
        assert seeds.train_loss.min() <= row[0] <= seeds.train_loss.max(), (epoch, row)
    assert not bad


def test_both_themes_and_a_phone(base):
    "With every fold open and curves drawn: axe finds nothing serious, nothing scrolls sideways"
    async def look(context):
        page, bad = await opened(context, base + 'train.html', base)
        await page.click('#train-book')
        await page.wait_for_function('() => Training.runs.at(-1)?.rows.length > 1')
        await page.click('#train-stop')
        return bad, await faults(page)

    bad, found = with_browser(look, reduced_motion='reduce')
    assert not bad and not found, json.dumps(bad + found, indent=1, ensure_ascii=False)
