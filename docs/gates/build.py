"""Make what "Inside the LSTM as you type" loads: how well each cell of the site's model tells the
thousands digit, and what each of the page's presets costs on the training text. It goes in a
script, since a page from a disk may read no other files. `--check` makes it in memory and compares
it with what is committed."""

import argparse
import copy
import json
import math
import sys
from pathlib import Path

import torch

static = Path(__file__).parent.parent / '_static'
path = static / 'gates_data.js'
lead = '// Made by docs/gates/build.py: what each cell tells, and what holding gates costs.\n'
# Another processor adds up in another order: what is compared may differ by so much.
slack = 0.004
gates = dict(zip('ifgo', range(4)))

# A preset holds a gate of a layer at a number, in all units, or in the `k` that tell the
# thousands digit best or least. `text` is a text that shows what comes of it.
every = dict(which='all', k=64)
default = '5998 5999 6000 6001'
presets = [
    dict(
        key='wipe-digit',
        label='Wipe the thousands digit',
        says='The best 16 cells of layer 1 forget at every word, and the digit goes first.',
        text=default,
        hold=dict(layer=0, gate='f', which='best', k=16, at=0),
    ),
    dict(
        key='wipe-others',
        label='Wipe the 16 cells that know it least',
        says='The thousands digit stays, and it is the tens that go.',
        text='3941 3942',
        hold=dict(layer=0, gate='f', which='least', k=16, at=0),
    ),
    dict(
        key='forget',
        label='Forget everything at every word',
        says='All forget gates of layer 1 are 0, and the count is lost at once.',
        text='3941 3942',
        hold=dict(layer=0, gate='f', at=0, **every),
    ),
    dict(
        key='never-forget',
        label='Never forget',
        says='All forget gates of layer 1 are 1: what was once written piles up, and it stammers.',
        text='3941 3942',
        hold=dict(layer=0, gate='f', at=1, **every),
    ),
    dict(
        key='second-layer',
        label='Wipe the second layer',
        says='All forget gates of layer 2 are 0, and hardly anything happens.',
        text=default,
        hold=dict(layer=1, gate='f', at=0, **every),
    ),
    dict(
        key='deaf',
        label='Write nothing',
        says='All input gates of layer 1 are 0: it hears nothing, and says the commonest word.',
        text='3941 3942',
        hold=dict(layer=0, gate='i', at=0, **every),
    ),
    dict(
        key='show-all',
        label='Show every cell at every word',
        says='All output gates of layer 1 are 1, and words come out too early.',
        text='3941 3942',
        hold=dict(layer=0, gate='o', at=1, **every),
    ),
]


def explained(c):
    "Share of each cell's variance that the digit explains, for digits × pairs × cells"
    return c.mean(1).var(0, unbiased=False) / c.flatten(0, 1).var(0, unbiased=False)


def cells_of(lstm, x):
    "The cell states of both layers after each word, for texts × words × width"
    state, found = None, []
    for value in x.split(1, dim=1):
        _, state = lstm(value, state)
        found.append(state[1])
    return torch.stack(found)


@torch.no_grad()
def shares(model, vocab):
    """For each layer what the thousands digit explains of each cell, as the lesson on the LSTM
    measures it: chosen on half of the pairs, checked on the other half, by the worst word; and the
    best cell if the digits are shuffled"""
    from rnnlm.data import human_numbers, numericalize

    small = human_numbers()[:999]
    of_four = [
        pair for pair in zip(small, small[1:]) if {len(number.split()) for number in pair} == {4}
    ]
    pairs = of_four[::3]
    digits = 'one two three four five six seven'.split()
    texts = [f'{d} thousand {a} . {d} thousand {b} .' for d in digits for a, b in pairs]
    ids = torch.stack([numericalize(text.split(), vocab) for text in texts])
    cells = cells_of(model.rnn, model.i_h(ids))
    # the words of the second number, from the word "thousand" on
    cells = cells.view(14, 2, len(digits), len(pairs), -1)[8:]

    def worst(layer, half):
        by_word = [explained(o[layer, :, half]) for o in cells]
        return [round(o, 3) for o in torch.stack(by_word).amin(0).tolist()]

    flat = cells[-1, 0].flatten(0, 1)
    order = torch.randperm(len(flat), generator=torch.Generator().manual_seed(0))
    shuffled = flat[order].view(len(digits), len(pairs), -1)
    return dict(
        chosen=[worst(layer, slice(0, None, 2)) for layer in range(2)],
        checked=[worst(layer, slice(1, None, 2)) for layer in range(2)],
        luck=round(explained(shuffled).max().item(), 3),
    )


def units_of(hold, chosen):
    "The units that a hold is for; those that tell the same are in their own order"
    told = chosen[hold['layer']]
    ranked = sorted(range(len(told)), key=lambda unit: -told[unit])
    if hold['which'] == 'least':
        return ranked[-hold['k'] :]
    return ranked[: hold['k']]


def held(model, hold, chosen):
    "A copy of `model` in which the gate takes no input: its bias alone says how it stands"
    odds = {0: -1e4, 1: 1e4}
    at = hold['at']
    bias = odds[at] if at in odds else math.log(at / (1 - at))
    new = copy.deepcopy(model)
    first = gates[hold['gate']] * new.rnn.hidden_size
    rows = [first + unit for unit in units_of(hold, chosen)]
    for name in ('weight_ih', 'weight_hh', 'bias_hh'):
        getattr(new.rnn, f"{name}_l{hold['layer']}").data[rows] = 0
    getattr(new.rnn, f"bias_ih_l{hold['layer']}").data[rows] = bias
    return new


def made():
    "What the script assigns"
    from rnnlm.data import human_numbers_dls
    from rnnlm.errors import by_role, predictions
    from rnnlm.playground import load_weights

    model, vocab = load_weights()
    training = human_numbers_dls(device='cpu').train
    told = shares(model, vocab)

    def right(one):
        return by_role(predictions(one, training)).accuracy.round(3).to_dict()

    measured = [
        preset | dict(right=right(held(model, preset['hold'], told['chosen'])))
        for preset in presets
    ]
    return dict(**told, untouched=right(model), text=default, presets=measured)


def committed():
    "What the committed script assigns"
    return json.loads(path.read_text(encoding='utf-8').split('= ', 1)[1].rstrip(';\n'))


def alike(a, b):
    "Are the two the same, but for the last digits of their numbers?"
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[o], b[o]) for o in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= slack
    return a == b


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='write nothing; 1 if it differs')
    data = made()
    if parser.parse_args().check:
        same = path.exists() and alike(committed(), data)
        print(f'{path.name} is {"" if same else "not "}what docs/gates/build.py makes')
        return int(not same)
    value = json.dumps(data, ensure_ascii=False, separators=(',', ':'))
    path.write_text(f'{lead}globalThis.GATES_DATA = {value};\n', encoding='utf-8')
    print(f'{path.name} {path.stat().st_size:,} bytes')
    return 0


if __name__ == '__main__':
    sys.exit(main())
