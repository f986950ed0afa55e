"""What the tests of the single pages share: opening one, and looking at it in every way."""

from importlib.util import find_spec
from pathlib import Path

from test_site import audit, ready, theme, watched, wide


async def opened(context, address, here):
    "The page at `address`, and the list of what goes wrong on it"
    page = await context.new_page()
    bad = watched(page, here)
    await page.goto(address)
    await page.wait_for_function(ready)
    return page, bad


async def faults(page):
    "What axe finds serious, and what scrolls sideways: folds open, both themes, both widths"
    axe = Path(find_spec('axe_playwright_python').origin).parent / 'axe.min.js'
    await page.evaluate(
        "() => document.querySelectorAll('.bd-article details').forEach(o => o.open = true)"
    )
    await page.evaluate(axe.read_text(encoding='utf-8'))
    found = []
    for colours in ('light', 'dark'):
        await page.evaluate(theme, colours)
        for width in (1280, 380):
            await page.set_viewport_size(dict(width=width, height=900))
            # colours fade over
            await page.wait_for_timeout(1500)
            found += [f'{colours}, {width}: {o}' for o in await page.evaluate(audit)]
            more_rules = ['scrollable-region-focusable', 'target-size']
            found += [f'{width}: {o}' for o in await page.evaluate(audit, more_rules)]
            if (more := await page.evaluate(wide)) > 0:
                found.append(f'{colours}, {width}: {more} pixels too wide')
    return found
