"""Lessons in a real browser: code folds and unfolds, by key, by button and on paper, and nothing of
a lesson has to be scrolled sideways on a screen of 1280 pixels."""

import json
import re

import pytest
from one_page import opened
from test_site import pages, pytestmark, site, with_browser

__all__ = ['pytestmark']  # pytest finds it by its name

lessons = [o for o in pages if re.match(r'(chapter|beyond)/', o)]
lstm = (site / 'chapter/04_lstm.html').as_uri()
all_open = "() => [...document.querySelectorAll('details.fold')].every(o => o.open)"
none_open = "() => ![...document.querySelectorAll('.bd-article details')].some(o => o.open)"
button = '.fold-all'
named = 'details.fold-exported > summary'


def on(look, first=''):
    "What `look` finds on the page, where `first` runs first and nothing may go wrong"

    async def visit(context):
        await context.add_init_script(first)
        page, bad = await opened(context, lstm, 'file://')
        found = await look(page)
        assert not bad, bad
        return found

    return with_browser(visit)


def test_exported_code_folds_and_the_short_version_is_open():
    async def look(page):
        heads = await page.eval_on_selector_all(named, 'l => l.map(o => o.innerText)')
        hidden = page.get_by_text('self.forget_gate = nn.Linear').first
        shown = page.locator('pre', has_text='def lstm_step(x, h, c, layers):').first
        key = page.locator('pre', has_text='class LSTMCell(nn.Module):').first
        return heads, [await o.is_visible() for o in (hidden, shown, key)]

    heads, visible = on(look)
    assert visible == [False, True, True]
    assert 'imports' in heads
    (four,) = [o for o in heads if 'FourGateLSTMCell' in o]
    assert re.match(r'class FourGateLSTMCell\(nn\.Module\)\s+One step of an LSTM', four)


def test_folds_by_keyboard_with_a_name_that_is_read_aloud():
    async def look(page):
        fold = page.locator(named, has_text='FourGateLSTMCell')
        await fold.focus()
        name = await fold.evaluate('o => o.ariaLabel ?? o.textContent')
        seen = []
        for key in ('Enter', 'Enter', ' '):
            await page.keyboard.press(key)
            seen.append(await fold.evaluate('o => o.parentElement.open'))
        await page.keyboard.press('Tab')
        inside = await fold.evaluate('o => o.parentElement.contains(document.activeElement)')
        return name, seen, inside

    name, seen, inside = on(look)
    assert name.startswith('class FourGateLSTMCell(nn.Module) One step')
    assert seen == [True, False, True]
    # the button that copies the code
    assert inside


def test_one_button_for_all_and_it_is_remembered():
    async def look(page):
        found = [await page.evaluate(none_open), await page.inner_text(button)]
        await page.focus(button)
        await page.keyboard.press('Enter')
        await page.wait_for_timeout(100)
        found += [await page.evaluate(all_open), await page.inner_text(button)]
        await page.reload()
        await page.wait_for_selector(button)
        found.append(await page.evaluate(all_open))
        await page.click(button)
        found.append(await page.evaluate(none_open))
        return found

    assert on(look) == [True, 'Unfold all code', True, 'Fold all code', True, True]


def test_answers_stay_folded_when_code_unfolds():
    "The button is for code"

    async def look(page):
        await page.click(button)
        return await page.evaluate(
            "() => [...document.querySelectorAll('details:not(.fold)')].map(o => o.open)"
        )

    found = on(look)
    assert found and not any(found)


def test_figures_say_that_they_are_drawn():
    async def look(page):
        plain = page.locator('details.fold:not(.fold-exported) > summary').first
        before = await plain.inner_text()
        await plain.click()
        return before, await plain.inner_text()

    assert on(look) == ('Show how this figure is drawn', 'Hide how this figure is drawn')


def sheets(pdf):
    return len(re.findall(rb'/Type\s*/Page\b', pdf))


def test_paper_unfolds_everything_and_the_screen_folds_again():
    opened_at = """() => addEventListener('beforeprint', () => {
      const all = document.querySelectorAll('.bd-article details');
      window.onPaper = [...all].map(o => o.open)})"""

    async def look(page):
        await page.evaluate(opened_at)
        pdf = await page.pdf(format='A4')
        return pdf, await page.evaluate('() => window.onPaper'), await page.evaluate(none_open)

    async def printed(page):
        return await page.pdf(format='A4')

    # the control: nothing on the page hears of the printing
    deaf = "addEventListener('beforeprint', e => e.stopImmediatePropagation(), true)"
    pdf, on_paper, folded = on(look)
    assert len(on_paper) > 10 and all(on_paper)
    assert folded
    assert sheets(pdf) > sheets(on(printed, deaf)) > 5


def test_no_cell_of_a_lesson_scrolls():
    "Code never; what it prints never; tables of a screen's width not, where there is a screen"
    scrolling = """() => {
      for (const o of document.querySelectorAll('details')) o.open = true;
      const boxes = '.cell_input pre, .cell_output pre'
        + (innerWidth > 1000 ? ', .cell_output, .cell_output .output' : '');
      return [...document.querySelectorAll(boxes)].filter(o => o.scrollWidth > o.clientWidth + 1)
        .map(o => o.innerText.slice(0, 60))}"""

    async def look(context):
        found = {}
        for name in lessons:
            page, bad = await opened(context, (site / name).as_uri(), 'file://')
            for width in (1280, 380):
                await page.set_viewport_size(dict(width=width, height=900))
                await page.wait_for_timeout(200)
                if said := await page.evaluate(scrolling):
                    found[f'{name} at {width}'] = said
            await page.close()
        return found

    found = with_browser(look)
    assert len(lessons) > 10 and not found, json.dumps(found, indent=1, ensure_ascii=False)
