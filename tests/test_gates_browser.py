"""Inside the LSTM as you type: its arithmetic against PyTorch's, with gates held and without, what
its presets claim, and the page in a real browser, from the disk, with the keyboard, on a phone."""

import json
import re
import subprocess
import sys
from urllib.parse import parse_qs, urldefrag

import nbformat
import pytest
import torch
import torch.nn.functional as F
from one_page import faults, opened
from test_site import base, pytestmark, root, site, with_browser

from rnnlm.data import numericalize
from rnnlm.playground import go_on, load_weights

sys.path.insert(0, str(root / 'docs/gates'))
import build  # noqa: E402

__all__ = ['base', 'pytestmark']  # pytest finds them by their names

data = build.committed()
presets = {o['key']: o for o in data['presets']}
address = (site / 'playground.html').as_uri()
every = list(range(64))
prompts = ['nine thousand', 'one . two . three .', '5998 5999 6000 6001', '3941 3942', '8123 12']
# layer, gate, units, at
holds = {
    'nothing': [],
    'forget gates of layer 1 at 0': [(0, 'f', every, 0)],
    'some input gates of layer 2 at 0.3': [(1, 'i', [3, 5, 63], 0.3)],
    'an output gate and a forget gate': [(0, 'o', [2], 1), (1, 'f', every, 0.85)],
}


@pytest.fixture(scope='module')
def trained():
    return load_weights()


def cell_by_cell(model, ids, held):
    "What each gate and cell says after each word, and the logits, by the equations"
    weights = model.rnn.all_weights
    h, c = [torch.zeros(2, 64) for _ in range(2)]
    seen, logits = [], []
    for x in model.i_h(ids):
        for layer in range(2):
            w_x, w_h, b_x, b_h = weights[layer]
            parts = (F.linear(x, w_x, b_x) + F.linear(h[layer], w_h, b_h)).split(64)
            gate = {name: part.sigmoid() for name, part in zip('ifo', [*parts[:2], parts[3]])}
            gate['g'] = parts[2].tanh()
            for where, name, units, at in held:
                if where == layer:
                    gate[name][units] = float(at)
            c[layer] = gate['f'] * c[layer] + gate['i'] * gate['g']
            h[layer] = x = gate['o'] * c[layer].tanh()
            seen.append(gate | dict(c=c[layer].clone(), h=h[layer].clone()))
        logits.append(model.h_o(x))
    return seen, torch.stack(logits)


reading = """([text, held]) => {
  const holds = held.map(([layer, gate, units, at]) => ({layer, gate, units, at}));
  const words = Counting.parse(text);
  let state = LSTM.zeros();
  const seen = [];
  const logits = [];
  for (const word of words) {
    const found = LSTM.read(word, state, holds);
    state = found.state;
    logits.push(found.logits);
    for (const layer of state) {
      seen.push(Object.fromEntries(Object.entries(layer).map(([k, v]) => [k, [...v]])));
    }
  }
  const added = Counting.goOn(words, 20, {holds}).steps.map(step => step.word);
  return {words, seen, logits, added};
}"""
typed = {
    '42': 'forty two .',
    '1,234': 'one thousand two hundred thirty four .',
    'One hundred and seven': 'one hundred seven',
    'twenty-one': 'twenty one',
    'forty one . 42, 43.': 'forty one . forty two . forty three .',
    '3 thousand 412': 'three thousand four hundred twelve .',
    '1,2,3': 'one . two . three .',
    'three thousand four hundred twelve.': 'three thousand four hundred twelve .',
}
refused = {
    '0': 'The count begins at 1',
    'zero': 'The count begins at 1',
    '10,000': 'The count ends at 9,999',
    '8000': 'After 7,999 it has 8,001',
    '2.5': '2.5 is not a whole number',
    '-3': '-3 is below zero',
    'x1': '“x1” is not among',
    '': 'Type a few numbers first',
}
parsing = """all => all.map(text => {
  try { return Counting.parse(text).join(' '); } catch (error) { return error.message; }
})"""


@pytest.fixture(scope='module')
def done():
    "What the scripts compute and what the page does with the keyboard alone, from the disk"

    async def use(context):
        page, bad = await opened(context, address, 'file://')
        found = dict(bad=bad, read={}, preset={})
        for name, held in holds.items():
            for text in prompts:
                found['read'][name, text] = await page.evaluate(reading, [text, held])
        found['parsed'] = await page.evaluate(parsing, [*typed, *refused])
        found['first'] = await page.inner_text('#gates-caption')
        found['ranked'] = await page.evaluate('() => Gates.ranked')
        found['start'] = await page.inner_text('#gates-free-count')
        found['hash at first'] = urldefrag(page.url)[1]

        drawing = """seed => Counting.goOn(Counting.parse('41 42'), 30, {temperature: 2, seed})
          .steps.map(step => step.word).join(' ')"""
        found['drawn'] = [await page.evaluate(drawing, seed) for seed in (1, 1, 2)]

        shown = """() => ({said: document.querySelector('#gates-said').textContent,
          free: Gates.shown.free.steps, held: Gates.shown.held?.steps,
          line: document.querySelector('#gates-held-line').textContent})"""
        for key in presets:
            await page.focus(f'[data-key={key}]')
            await page.keyboard.press('Enter')
            found['preset'][key] = await page.evaluate(shown)
        await page.focus('[data-key=nothing]')
        await page.keyboard.press('Space')
        found['released'] = await page.evaluate(shown)

        await page.focus('#gates-text')
        await page.keyboard.press('Control+A')
        await page.keyboard.type('41 42 fort')
        await page.keyboard.press('Enter')
        found['half'] = await page.evaluate('() => Gates.shown.free.words.join(" ")')
        await page.keyboard.type('y 8000')
        await page.keyboard.press('Enter')
        found['message'] = await page.inner_text('#gates-message')
        await page.keyboard.press('Control+A')
        await page.keyboard.type('2341 2342')
        await page.keyboard.press('Enter')
        await page.focus('#gates-rank')
        await page.keyboard.press('ArrowRight')
        await page.select_option('#gates-show', 'forget')
        for name, key, times in (('gate', 'ArrowDown', 1), ('at', 'ArrowRight', 3)):
            await page.focus(f'#gates-{name}')
            for _ in range(times):
                await page.keyboard.press(key)
        await page.focus('#gates-k')
        await page.keyboard.press('ArrowUp')
        await page.focus('#gates-temperature')
        await page.keyboard.press('ArrowRight')
        found['state'] = await page.evaluate('() => Gates.state')
        found['hash'] = urldefrag(page.url)[1]
        found['picture'] = await page.inner_html('#gates-strip')
        found['line'] = await page.inner_text('#gates-held-line')
        other, bad = await opened(context, page.url, 'file://')
        found['bad'] += bad
        found['state again'] = await other.evaluate('() => Gates.state')
        found['picture again'] = await other.inner_html('#gates-strip')
        found['line again'] = await other.inner_text('#gates-held-line')
        return found

    return with_browser(use)


def test_nothing_goes_wrong(done):
    assert not done['bad']


@pytest.mark.parametrize('name', holds)
@torch.no_grad()
def test_gates_cells_and_logits_are_pytorchs(done, trained, name):
    model, vocab = trained
    for text in prompts:
        page = done['read'][name, text]
        ids = numericalize(page['words'], vocab)
        seen, logits = cell_by_cell(model, ids, holds[name])
        for ours, theirs in zip(seen, page['seen'], strict=True):
            for part, value in ours.items():
                assert (value - torch.tensor(theirs[part])).abs().max() < 1e-4, (text, part)
        assert (logits - torch.tensor(page['logits'])).abs().max() < 1e-4
        # the page goes on as a network does that reads all of its words with the same hold
        words = page['words'] + page['added'][:-1]
        _, logits = cell_by_cell(model, numericalize(words, vocab), holds[name])
        said = [vocab[i] for i in logits.argmax(1)[len(page['words']) - 1 :]]
        assert said == page['added'], text
        if name == 'nothing':
            assert (model(ids[None])[0][0] - logits[: len(ids)]).abs().max() < 1e-4
            model.reset()
            assert list(go_on(model, vocab, page['words'], 20).word) == page['added']


def test_a_hold_makes_a_difference(done):
    "The control of the test before: a page that ignored holds would fail it"
    for text in prompts:
        one, *others = [torch.tensor(done['read'][o, text]['logits']) for o in holds]
        assert all((one - other).abs().max() > 1e-2 for other in others)


@torch.no_grad()
def test_what_is_measured_is_held_alike(trained):
    "The build holds a gate by its weights, this test by its value"
    model, vocab = trained
    ids = numericalize('three thousand nine . three thousand ten .'.split(), vocab)
    for preset in data['presets']:
        hold = preset['hold']
        units = build.units_of(hold, data['chosen'])
        assert len(units) == hold['k']
        one = build.held(model, hold, data['chosen'])
        other = cell_by_cell(model, ids, [(hold['layer'], hold['gate'], units, hold['at'])])[1]
        one.reset()
        assert (one(ids[None])[0][0] - other).abs().max() < 1e-4, preset['key']


def test_the_data_are_what_build_makes():
    command = [sys.executable, '-W', 'ignore', str(root / 'docs/gates/build.py'), '--check']
    assert subprocess.run(command, timeout=900).returncode == 0
    other = json.loads(json.dumps(data))
    assert build.alike(data, other)
    other['presets'][0]['right']['tens'] -= 0.01
    assert not build.alike(data, other)


def test_it_opens_on_the_cell_that_knows_the_digit(done):
    best = max(every, key=data['chosen'][0].__getitem__)
    share = data['checked'][0][best]
    assert done['ranked'][0][0] == best and share > 0.8 > 10 * data['luck']
    assert f'unit {best} in layer 1' in done['first']
    assert f'at least {100 * share:.0f}' in done['first']
    assert done['start'] == '14 words: 14 right, 0 wrong.' and done['hash at first'] == ''


def test_presets_do_what_their_labels_claim(done):
    right = {key: o['right'] for key, o in presets.items()}
    free = data['untouched']
    assert min(free.values()) > 0.99
    wiped, others = right['wipe-digit'], right['wipe-others']
    assert wiped['thousands digit'] < 0.5 and wiped['tens'] > 0.98 and wiped['units'] > 0.9
    assert others['thousands digit'] > 0.98 and others['tens'] < 0.5
    assert right['forget']['all words'] < 0.4 and right['never-forget']['all words'] < 0.2
    assert right['second-layer']['all words'] > 0.98
    assert right['deaf']['dot'] == 1 and right['deaf']['tens'] == 0
    assert right['show-all']['thousand, hundred'] > 0.9 > 0.6 > right['show-all']['units']
    for key, found in done['preset'].items():
        assert presets[key]['says'] in found['said']
        told = [float(o) for o in re.findall(r'([\d.]+) % of the', found['said'])]
        roles = ('thousands digit', 'hundreds digit', 'tens', 'units')
        measured = [100 * o[role] for o in (right[key], free) for role in roles]
        assert told == pytest.approx(measured, abs=0.501), key
        assert all(step['ok'] for step in found['free']), key
        wrong = [step for step in found['held'] if step['ok'] is False]
        assert bool(wrong) == (key != 'second-layer'), key
    first = next(o for o in done['preset']['wipe-digit']['held'] if o['ok'] is False)
    words = [o['word'] for o in done['preset']['wipe-digit']['held']]
    assert words[words.index(first['word']) + 1] == 'thousand'
    tens = next(o for o in done['preset']['wipe-others']['held'] if o['ok'] is False)
    assert tens['true'].endswith('ty')
    assert {o['word'] for o in done['preset']['deaf']['held']} == {'.'}
    assert done['released']['held'] is None and 'Nothing is held' in done['released']['said']


def test_draws_are_repeatable(done):
    one, again, other = done['drawn']
    assert one == again != other


def test_what_people_type(done):
    parsed = dict(zip([*typed, *refused], done['parsed']))
    assert {o: parsed[o] for o in typed} == typed
    for text, says in refused.items():
        assert says in parsed[text] and '\n' not in parsed[text], text
    # what is not typed to its end is left out, what can't be read is said
    assert done['half'] == 'forty one . forty two .'
    assert 'After 7,999' in done['message']


def test_the_keyboard_and_the_address(done):
    state = done['state']
    expected = dict(text='2341 2342', show='forget', gate='forget', at=0.15, k=17, temperature=0.1)
    expected['unit'] = done['ranked'][0][1]
    assert {o: state[o] for o in expected} == expected
    told = {key: value for key, [value] in parse_qs(done['hash']).items()}
    assert told == {key: str(value) for key, value in expected.items() if key != 'which'}
    for part in ('state', 'picture', 'line'):
        assert done[part] == done[f'{part} again'], part


def test_a_broken_address_falls_back(base):
    async def recall(context):
        where = base + 'playground.html#gates&unit=99&layer=2&k=x&__proto__=1&text=8000&at=0.5'
        page, bad = await opened(context, where, base)
        state = await page.evaluate('() => Gates.state')
        said = await page.inner_text('#gates-message')
        where = base + 'chapter/04_lstm.html#gates&gate=forget&which=all&text=3941+3942'
        lesson, more = await opened(context, where, base)
        line = await lesson.inner_text('#gates-held-line')
        return bad + more, state, said, line

    bad, state, said, line = with_browser(recall)
    assert not bad
    assert state['layer'] == 2 and state['at'] == 0.5
    assert state['text'] == data['text'] and state['k'] == 16
    assert said.startswith('The address asks for unit=99, k=x, __proto__=1, which there is not.')
    # the lesson has the same, at the same address
    assert line.startswith('It goes on: three hundred')


def test_what_the_playground_needs():
    "The numbers of its sentence are those that the notebook measured"
    nb = nbformat.read(root / 'nbs/beyond/01_playground.ipynb', as_version=4)
    shown = next(o for o in nb.cells if o.id == '7c1e0a54').outputs[0].data['text/plain']
    rows = [
        [float(o) for o in row.split()[1:]] for row in shown.splitlines() if row.count('.') == 3
    ]
    text = (root / 'docs/playground.md').read_text(encoding='utf-8')
    found = re.search(
        r'only (\d+) of 100 places below one thousand, and in (\d+) to (\d+) .* '
        r'at least (\d+) everywhere up to there, and from three at least (\d+)',
        text,
    )
    ones = [row[0] for row in rows[1:8]]
    numbers = [int(rows[0][0]), int(min(ones)), int(max(ones))]
    numbers += [int(min(row[k] for row in rows[:8])) for k in (1, 2)]
    assert list(map(int, found.groups())) == numbers
    assert len(rows) == 10 and max(rows[9]) < 15


def test_both_themes_and_a_phone(base):
    "With a gate held: axe finds nothing serious, nothing scrolls sideways"

    async def look(context):
        page, bad = await opened(context, base + 'playground.html', base)
        await page.click('[data-key=wipe-digit]')
        moving = await page.evaluate('() => document.getAnimations().length')
        return bad, moving, await faults(page)

    bad, moving, found = with_browser(look, reduced_motion='reduce')
    assert not bad and not moving and not found, json.dumps(bad + found, indent=1)
