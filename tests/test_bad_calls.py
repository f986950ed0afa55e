"""Every bad call in `bad_calls.yaml` gets its line, word for word, and nothing is written."""

import importlib
import inspect
import itertools
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from torch import nn

from rnnlm.commands import rnnlm_reproduce
from rnnlm.data import human_numbers, human_numbers_dls, make_vocab, stream_batches, tokenize
from rnnlm.generation import rnnlm_generate
from rnnlm.performance import rnnlm_benchmark
from rnnlm.replicate.experiment import Experiment
from rnnlm.replicate.judge import judge
from rnnlm.tables import published, reference
from rnnlm.weight_tying import LMModel7

listed = yaml.safe_load((Path(__file__).parent / 'bad_calls.yaml').read_text(encoding='utf-8'))
commands = dict(
    rnnlm_generate=rnnlm_generate, rnnlm_reproduce=rnnlm_reproduce, rnnlm_benchmark=rnnlm_benchmark
)
functions = [(module, name) for module, own in listed.items() for name in own]
bad = [
    (module, name, call, said)
    for module, name in functions
    for call, said in listed[module][name]['bad'].items()
]
good = [(*o, listed[o[0]][o[1]]['good']) for o in functions if listed[o[0]][o[1]]['good']]


@pytest.fixture(scope='module')
def given():
    "What the calls use, by name"
    lines = human_numbers(300)
    vocab = make_vocab(tokenize(human_numbers()))
    runs = reference('LMModel5')
    toss = pd.DataFrame(dict(epoch=[0, 1], loss=[1.0, 0.5]))
    return dict(
        Path=Path,
        itertools=itertools,
        torch=torch,
        nn=nn,
        stream_batches=stream_batches,
        judge=judge,
        nums=torch.arange(len(tokenize(lines))) % 30,
        ids=torch.tensor([[3, 1, 4], [1, 5, 9]]),
        vocab=vocab,
        model=LMModel7(30, 8, 1, 0.4),
        dls=human_numbers_dls(bs=8, n=1200, device='cpu'),
        table=published('LMModel5'),
        runs=runs[runs.seed < runs.seed.min() + 4],
        coin=Experiment('coin', lambda seed: toss),
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    "The folder that the calls are made in, and a look at what is in it"
    monkeypatch.chdir(tmp_path)
    Path('folder').mkdir()
    Path('note.txt').write_text('one two three four five . ' * 20, encoding='utf-8')
    Path('binary.txt').write_bytes(b'\xff\xfe\x00')
    return lambda: {str(o): o.is_file() and o.read_bytes() for o in Path().rglob('*')}


def typed(line):
    "Call the command of this line here, with its options by name, which saves the imports"
    name, *words = shlex.split(line)
    options, prompt = {}, []
    while words:
        word = words.pop(0)
        if word.startswith('--'):
            options[word[2:]] = words.pop(0)
        else:
            prompt.append(word)
    if name == 'rnnlm_generate':
        options['prompt'] = prompt
    return commands[name](**options)


def called(module, call, given):
    "What this call gives, with all names of its module"
    if module == 'commands':
        return typed(call)
    own = importlib.import_module(module)
    names = {name: getattr(own, name) for name in own.__all__}
    return eval(call, given | names)


def parameters(module, name):
    "The names of all arguments of a function, or of all methods of a class"
    made = commands[name] if module == 'commands' else None
    made = made or getattr(importlib.import_module(module), name)
    functions = [made]
    if inspect.isclass(made):
        functions += [o for _, o in inspect.getmembers(made, inspect.isfunction)]
    return {p for f in functions for p in inspect.signature(f).parameters}


@pytest.mark.parametrize('module, name, call, said', bad, ids=[o[2] for o in bad])
def test_bad_call(module, name, call, said, given, folder, capfd):
    before = folder()
    if module == 'commands':
        with pytest.raises(SystemExit) as e:
            called(module, call, given)
        out, err = capfd.readouterr()
        assert e.value.code == 2 and 'training' not in out
        assert err.endswith('\n')
        got = err.removesuffix('\n')
        line = got.removeprefix(f'{name}: ').removeprefix('--')
    else:
        with pytest.raises(Exception) as e:
            called(module, call, given)
        got = f'{type(e.value).__name__}: {e.value}'
        line = str(e.value)
    assert got == said
    assert '\n' not in got and len(line) <= 200
    # `prompt[1]` is one of several, and so is the `seed` of some `seeds`
    argument = re.match(r'(\w+)(\[\d\])?(, \w+)?: ', line)[1]
    assert {argument, argument + 's'} & parameters(module, name)
    assert folder() == before


@pytest.mark.parametrize('module, name, call', good, ids=[o[2] for o in good])
def test_good_call(module, name, call, given, folder, capfd):
    "The control: called as it is meant, the same function says nothing of the kind"
    called(module, call, given)


def test_the_table_is_long():
    assert len(bad) >= 100 and len({o[2] for o in bad}) == len(bad)
