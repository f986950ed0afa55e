"""The figures of the notebooks: inks that can be seen, a caption and an alternative text for each,
vectors that are small. How the site shows them is for tests/test_figures_browser.py."""

import io
import itertools
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from rnnlm.drawing import colours, stands_for
from rnnlm.replicate.inks import fading, inks

root = Path(__file__).parent.parent
sys.path.insert(0, str(root / 'docs'))
import figures  # noqa: E402

largest = 400_000  # bytes of a figure
notebooks = [
    p for p in sorted((root / 'nbs').rglob('*.ipynb')) if '.ipynb_checkpoints' not in p.parts
]
hues = ('red', 'amber', 'violet', 'blue', 'teal', 'magenta')
fills = ('pale_blue', 'pale_teal', 'paper')
hexadecimal = re.compile(r'''['"]#[0-9a-fA-F]{3,8}['"]''')


def drawn(path):
    "Each figure of a notebook: its cell's number and source, the kind of picture, the picture"
    for i, cell in enumerate(json.loads(path.read_text(encoding='utf-8'))['cells']):
        for out in cell.get('outputs', []):
            for kind, data in out.get('data', {}).items():
                if kind.startswith('image/'):
                    yield i, ''.join(cell['source']), kind, ''.join(data)


pictures = [(p, *o) for p in notebooks for o in drawn(p)]
each_picture = pytest.mark.parametrize(
    'path,cell,source,kind,data',
    pictures,
    ids=[f'{p.relative_to(root / "nbs")}, cell {i}' for p, i, *_ in pictures],
)


def faults(source, kind, data):
    "What is wrong with a figure, in words"
    found = []
    if kind != 'image/svg+xml':
        found.append(f'a bitmap: {kind}')
    if len(data.encode()) > largest:
        found.append(f'{len(data.encode())} bytes')
    if '<image' in data:
        found.append('a bitmap inside')
    for name, shortest in (('fig-alt', 15), ('fig-cap', 15)):
        said = ' '.join(re.findall(rf'^#\| {name}: (.*)$', source, re.M))
        if len(said) < shortest:
            found.append(f'no {name}')
        elif said[-1] not in '.?!':
            found.append(f'{name} is no sentence')
    if hexadecimal.search(source):
        found.append('a colour by its number')
    known = {pair[0] for pair in inks.values()}
    if strange := set(re.findall(r'#[0-9a-f]{6}\b', re.sub(r'<metadata.*?</metadata>', '', data,
                                                         flags=re.S))) - known:
        found.append(f'no ink: {sorted(strange)}')
    return found


def test_there_are_figures():
    assert len(pictures) > 60


@each_picture
def test_a_figure(path, cell, source, kind, data):
    assert not faults(source, kind, data)


def test_faults_are_found():
    "The control"
    good = "#| fig-alt: What is to be seen.\n#| fig-cap: What it means here.\nax.plot(x)"
    svg = f'<svg><path style="fill: {colours["LMModel5"]}"/></svg>'
    assert faults(good, 'image/svg+xml', svg) == []
    assert faults(good, 'image/png', '') == ['a bitmap: image/png']
    assert faults(good, 'image/svg+xml', svg + ' ' * largest)
    assert faults(good, 'image/svg+xml', svg + '<image/>') == ['a bitmap inside']
    assert faults(good.replace('fig-cap', 'cap'), 'image/svg+xml', svg) == ['no fig-cap']
    assert faults(good.replace('here.', 'here'), 'image/svg+xml', svg) == ['fig-cap is no sentence']
    assert faults(f"{good}, color='#4c72b0')", 'image/svg+xml', svg) == ['a colour by its number']
    assert faults(good, 'image/svg+xml', svg + '#4c72b0') == ["no ink: ['#4c72b0']"]


@pytest.mark.parametrize('path', notebooks, ids=lambda p: str(p.relative_to(root / 'nbs')))
def test_no_colour_is_written_where_something_is_drawn(path):
    if path.name == '21_inks.ipynb':
        return
    for cell in json.loads(path.read_text(encoding='utf-8'))['cells']:
        if cell['cell_type'] == 'code':
            assert not hexadecimal.search(''.join(cell['source'])), ''.join(cell['source'])


# inks


def luminance(colour):
    shares = np.array(to_rgb(colour))
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_what_it_is_called():
    assert contrast('#000000', '#ffffff') == pytest.approx(21)
    assert contrast('#777777', '#ffffff') == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize('theme', [0, 1])
@pytest.mark.parametrize('name', [o for o in inks if o not in fills])
def test_an_ink_can_be_seen(name, theme):
    "Letters are written in all but `line`, which only lines are drawn in"
    assert contrast(inks[name][theme], inks['paper'][theme]) > (3 if name == 'line' else 4.5)


@pytest.mark.parametrize('theme', [0, 1])
def test_letters_on_a_map_can_be_read(theme):
    "On the strongest cell of a map with numbers, half of whose ink is page"
    for name in ('blue', 'red'):
        mixed = (np.array(to_rgb(inks[name][theme])) + to_rgb(inks['paper'][theme])) / 2
        assert contrast(tuple(mixed), inks['text'][theme]) > 3.5


def test_colours_are_no_two_inks():
    for theme in (0, 1):
        assert len({pair[theme] for pair in inks.values()}) == len(inks)
    models = [stands_for[o] for o in stands_for if o.startswith('LMModel')]
    assert len(set(models)) == len(models) and 'red' not in models
    assert set(models) <= set(hues)


def test_a_map_fades_into_the_page():
    one, two = fading('blue').colors, fading('blue', 'red', most=0.5).colors
    assert one[0][3] == 0 and one[-1][3] == 1 and np.all(np.diff(one[:, 3]) > 0)
    assert two[len(two) // 2][3] == 0 and two[0][3] == two[-1][3] == 0.5
    assert tuple(two[0][:3]) == to_rgb(colours['red'])
    assert len(two) < 50


# what the site makes of them


def drawing(letters=10):
    figure = Figure(figsize=(4, 2))
    axs = figure.subplots(1, 2)
    for ax in axs:
        ax.plot([0, 1], color=colours['LMModel5'], marker='o')
        ax.set_title('a title', color=colours['text'], fontsize=letters)
    made = io.StringIO()
    figure.savefig(made, format='svg')
    return made.getvalue()


def test_a_figure_in_its_page(monkeypatch):
    from matplotlib import rcParams

    monkeypatch.setitem(rcParams, 'svg.fonttype', 'none')
    svg = drawing()
    assert '<style' in svg and colours['LMModel5'] in svg
    page = figures.figure(svg, 3, 'Two "lines"', 'Of `a` & b.')
    assert 'var(--ink-violet)' in page and colours['LMModel5'] not in page
    assert '<style' not in page and '<metadata' not in page and '<?xml' not in page
    assert 'aria-label="Two &quot;lines&quot;"' in page
    assert '<a href="#figure-3">Figure 3</a>. Of <code>a</code> &amp; b.' in page
    assert page.count('class="drawn-axes"') == 2
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(set(ids)) == len(ids) and all(o.startswith(('f3-', 'figure-3')) for o in ids)
    assert {o for o in re.findall(r'(?:href="#|url\(#)(f3-[^")]+)', page)} <= set(ids)


def test_the_smallest_letters_decide_how_narrow_a_figure_gets(monkeypatch):
    from matplotlib import rcParams

    monkeypatch.setitem(rcParams, 'svg.fonttype', 'none')
    least = [
        float(re.search(r'--least: (\d+)px', figures.inline(drawing(o), 1))[1]) for o in (10, 5)
    ]
    assert least == [pytest.approx(288 * 9 / o, abs=1) for o in (10, 5)]


def test_the_stylesheet_has_each_ink_and_model():
    text = figures.stylesheet()
    light, dark = text.split('html[data-theme=dark]')
    for name, (on_white, on_dark) in inks.items():
        if name != 'paper':
            assert f'--ink-{name}: {on_white};' in light and f'--ink-{name}: {on_dark};' in dark
    for name, ink in stands_for.items():
        assert f'--colour-{name}: var(--ink-{ink});' in light


def test_no_stylesheet_or_script_has_a_colour_for_a_model_of_its_own():
    "Variables that are used are those of the palette"
    known = set(re.findall(r'--((?:ink|colour)-[\w-]+):', figures.stylesheet()))
    for path in (root / 'docs/_static').glob('*.*s'):
        used = set(re.findall(r'var\(--((?:ink|colour)-[\w-]+)\)', path.read_text('utf-8')))
        assert used <= known, path.name
    for name in ('train.css', 'seeds.css'):
        assert not re.findall(r'#[0-9a-f]{6}', (root / 'docs/_static' / name).read_text('utf-8'))


def test_a_drawing_in_the_dark():
    "For README.md: every ink is that of a dark page"
    dark = figures.in_dark(drawing())
    for on_white, on_dark in itertools.islice(inks.values(), 6):
        assert on_white not in dark
    assert inks['violet'][1] in dark
