"""How a model goes on: what is drawn from, beams, batches, streams, and what is left behind."""

import itertools
import math
import subprocess
import sys
from inspect import isgenerator

import pytest
import torch
from fastai.text.models.awdlstm import AWD_LSTM
from fastai.text.models.core import get_language_model
from torch import nn

from rnnlm.awd_lstm import AWDLanguageModel
from rnnlm.data import human_numbers, human_numbers_dls, make_vocab, numericalize, tokenize
from rnnlm.errors import NGram
from rnnlm.generation import (
    beam_search,
    continue_text,
    how_far,
    perplexity,
    probabilities,
    rnnlm_generate,
    stream_words,
    words_of,
)
from rnnlm.gru import LMModelGRU
from rnnlm.lstm_lm import LMModel6
from rnnlm.playground import load_weights
from rnnlm.rnn import LMModel4, LMModel5
from rnnlm.weight_tying import LMModel7

vocab = 'a b c d e f g'.split()
prompts = ['a', 'b c d e', 'g a', 'b c']
awd = dict(emb_sz=16, n_hid=12, n_layers=2, pad_token=None)
fastais = dict(awd, n_layers=2, bidir=False, output_p=0.1, tie_weights=True, out_bias=True)
made = {
    'LMModel4': lambda: LMModel4(7, 16),
    'LMModel5': lambda: LMModel5(7, 16, 2),
    'LMModel6': lambda: LMModel6(7, 16, 2),
    'LMModel7': lambda: LMModel7(7, 16, 2, 0.4),
    'GRU': lambda: LMModelGRU(7, 16, 2),
    'AWD-LSTM': lambda: AWDLanguageModel(7, awd),
    "fastai's AWD_LSTM": lambda: get_language_model(
        AWD_LSTM, 7, config=dict(fastais, pad_token=1), drop_mult=1.0
    ),
}


def peaked(model):
    "Weights far apart, so that the next word depends on what was read"
    torch.manual_seed(1)
    for p in model.parameters():
        # ReLU has no bound, and the words would soon be the same one
        nn.init.normal_(p, std=0.3 if isinstance(model, LMModel4) else 0.7)
    return model


@pytest.fixture(params=made)
def model(request):
    return peaked(made[request.param]())


def kept_by_sorting(ps, top_k, top_p):
    "What top-k and top-p leave of a list of probabilities, written out"
    order = sorted(range(len(ps)), key=lambda i: -ps[i])[: top_k or len(ps)]
    whole = sum(ps[i] for i in order)
    chosen, mass = [], 0.0
    for i in order:
        if top_p is not None and mass >= top_p:
            break
        chosen.append(i)
        mass += ps[i] / whole
    whole = sum(ps[i] for i in chosen)
    return [ps[i] / whole if i in chosen else 0.0 for i in range(len(ps))]


@pytest.mark.parametrize('temperature', [0.3, 1.0, 2.5])
@pytest.mark.parametrize('top_k', [None, 1, 3, 100])
@pytest.mark.parametrize('top_p', [None, 0.05, 0.6, 0.95, 1.0])
def test_what_is_drawn_from(temperature, top_k, top_p):
    torch.manual_seed(0)
    logits = 2 * torch.randn(5, 9)
    ours = probabilities(logits, temperature, top_k, top_p)
    for row, said in zip(ours, logits.tolist()):
        exps = [math.exp(x / temperature) for x in said]
        ps = [x / sum(exps) for x in exps]
        assert row.tolist() == pytest.approx(kept_by_sorting(ps, top_k, top_p), abs=1e-6)


def test_of_equal_words_the_first_are_kept():
    assert probabilities(torch.zeros(4), top_k=2).tolist() == [0.5, 0.5, 0, 0]
    assert probabilities(torch.zeros(4), top_p=0.5).tolist() == [0.5, 0.5, 0, 0]


def test_hardly_any_temperature():
    "It is as if the likeliest word were taken, where a division would overflow"
    assert probabilities(torch.tensor([1.0, 3.0, 2.0]), 1e-300).tolist() == [0, 1, 0]


def test_draws_come_as_often_as_they_should():
    model = peaked(LMModel6(7, 16, 1))
    drawn = continue_text(model, vocab, ['a b'] * 2000, 1, 1.5, top_k=4, seed=0)
    logits = model(numericalize(['a', 'b'], vocab)[None])[0, -1]
    wanted = probabilities(logits.detach(), 1.5, top_k=4)
    for word, p in zip(vocab, wanted.tolist()):
        # five standard deviations
        assert abs(drawn.count(word) / 2000 - p) <= 5 * math.sqrt(p * (1 - p) / 2000)


@pytest.mark.parametrize('way', [{}, dict(temperature=1.5), dict(temperature=2.0, top_p=0.8)])
def test_several_prompts_as_one_by_one(model, way):
    together = continue_text(model, vocab, prompts, 12, **way, seed=5)
    alone = [continue_text(model, vocab, o, 12, **way, seed=5 + i) for i, o in enumerate(prompts)]
    assert together == alone
    assert len(set(together)) > 1 and [len(o.split()) for o in together] == [12] * 4


def test_words_depend_on_all_that_was_read(model):
    "The same words as by reading the whole text anew for each"
    model.eval()
    text = prompts[1].split()
    for _ in range(8):
        model.reset()
        out = model(numericalize(text, vocab)[None])
        logits = out[0] if isinstance(out, tuple) else out
        text.append(vocab[logits[0, -1].argmax()])
    assert continue_text(model, vocab, prompts[1], 8) == ' '.join(text[4:])


def test_seeds(model):
    "The same words again, others with another one, and torch's own generator is not touched"
    before = torch.get_rng_state()
    runs = [continue_text(model, vocab, 'a b', 30, 50.0, seed=o) for o in (7, 7, 8)]
    assert runs[0] == runs[1] != runs[2]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(3)
    first = continue_text(model, vocab, 'a b', 30, 50.0)
    torch.manual_seed(3)
    assert continue_text(model, vocab, 'a b', 30, 50.0) == first
    assert continue_text(model, vocab, 'a b', 30, 50.0) != first


def flat(out):
    return out[0] if isinstance(out, tuple) else out


@pytest.mark.parametrize('training', [False, True])
def test_a_model_is_left_as_it_was(model, training):
    "Its modes and its state: it goes on as if nothing had been asked of it"
    ids = numericalize('a b c d'.split(), vocab)[None].repeat(3, 1)
    words = numericalize('e f'.split(), vocab)[None].repeat(3, 1)
    # one part in a mode of its own
    model.eval()
    list(model.modules())[-1].train(training)
    modes = [o.training for o in model.modules()]

    def go_on(between):
        model.reset()
        model(ids)
        between()
        torch.manual_seed(0)
        return flat(model(words)).detach()

    wanted = go_on(lambda: None)
    assert not torch.equal(go_on(model.reset), wanted)
    for between in (
        lambda: continue_text(model, vocab, prompts, 5, 1.0, seed=1),
        lambda: continue_text(model, vocab, 'a b', 3, beam=2),
        lambda: next(stream_words(model, vocab, 'a b')),
    ):
        assert torch.equal(go_on(between), wanted)
        assert [o.training for o in model.modules()] == modes


def test_two_streams_of_one_model(model):
    ways = [dict(prompt=o, n=30, temperature=1.5, seed=i) for i, o in enumerate(('a', 'b c'))]
    wanted = [continue_text(model, vocab, **o) for o in ways]
    assert wanted[0] != wanted[1]
    pairs = zip(*[stream_words(model, vocab, **o) for o in ways])
    assert [' '.join(o) for o in zip(*pairs)] == wanted


def test_an_error_inside_leaves_nothing_behind():
    model = peaked(LMModel6(7, 16, 1)).train()
    model(numericalize(['a'], vocab)[None])
    state = model.h

    def fails(*args):
        raise RuntimeError('no more words')

    hook = model.h_o.register_forward_pre_hook(fails)
    with pytest.raises(RuntimeError, match='no more words'):
        continue_text(model, vocab, 'a')
    hook.remove()
    assert model.training and model.h is state


def test_words_come_one_by_one():
    "The model has read no further than it had to"
    model, read = peaked(LMModel6(7, 16, 1)), []
    model.register_forward_hook(lambda module, args, out: read.append(args[0].shape[1]))
    words = stream_words(model, vocab, 'a b c', 3)
    assert isgenerator(words) and not read
    got = [next(words)]
    assert read == [3]
    got += words
    assert read == [3, 1, 1] and ' '.join(got) == continue_text(model, vocab, 'a b c', 3)


def log_prob(model, prompt, words):
    "Of `words` after `prompt`, by one pass over both"
    ids = numericalize([*prompt, *words], vocab[:4])[None]
    model.reset()
    said = model(ids[:, :-1])[0, len(prompt) - 1 :].log_softmax(-1)
    return said.gather(1, ids[0, len(prompt) :, None]).sum().item()


@torch.no_grad()
def test_a_wide_beam_finds_what_an_exhaustive_search_does():
    missed = 0
    for seed in range(8):
        torch.manual_seed(seed)
        model = LMModel6(4, 8, 1)
        nn.init.normal_(model.h_o.weight, std=1.5)
        every = [
            (log_prob(model, ['a', 'c'], o), ' '.join(o))
            for o in itertools.product(vocab[:4], repeat=3)
        ]
        every.sort(reverse=True)
        found = beam_search(model, vocab[:4], 'a c', 3, beam=4**3)
        assert found.text.tolist() == [text for _, text in every]
        assert found.log_prob.tolist() == pytest.approx([p for p, _ in every], abs=1e-4)
        assert continue_text(model, vocab[:4], 'a c', 3, beam=64) == every[0][1]
        # a beam of one is greedy, and that is not always the best
        greedy = continue_text(model, vocab[:4], 'a c', 3)
        assert continue_text(model, vocab[:4], 'a c', 3, beam=1) == greedy
        missed += greedy != every[0][1]
    assert 0 < missed < 8


class Says(nn.Module):
    "Says after each word what `guess` does of all words so far, by so many nats"

    def __init__(self, words, guess, nats=50.0):
        super().__init__()
        self.words, self.guess = words, guess
        self.nats = nn.Parameter(torch.tensor(nats))
        self.texts = None

    def reset(self):
        self.texts = None

    def forward(self, ids):
        texts = self.texts or [[]] * len(ids)
        logits = torch.zeros(*ids.shape, len(self.words))
        for row, new in enumerate(ids.tolist()):
            for step, i in enumerate(new):
                texts = [o + [self.words[i]] if k == row else o for k, o in enumerate(texts)]
                logits[row, step, self.words.index(self.guess(texts[row]))] = self.nats
        self.texts = texts
        return logits


def test_perplexity():
    dl = human_numbers_dls(n=1100, bs=8, device='cpu').valid
    targets = torch.cat([yb for _, yb in dl], 1)
    dots = (targets == dl.vocab.index('.')).sum().item()
    unsure = perplexity(Says(dl.vocab, lambda seen: '.', 0.0), dl)
    n = len(dl.vocab)
    assert unsure.loss == pytest.approx(math.log(n), rel=1e-5)
    assert unsure.per_word == pytest.approx(n, rel=1e-5)
    assert math.log(unsure.per_number) == pytest.approx(
        math.log(n) * targets.numel() / dots, rel=1e-5
    )
    # half a nat for full stops, which are right as often as there are some
    some = perplexity(Says(dl.vocab, lambda seen: '.', 0.5), dl)
    loss = math.log(n - 1 + math.exp(0.5)) - 0.5 * dots / targets.numel()
    assert some.loss == pytest.approx(loss, rel=1e-5)


def test_how_far_a_model_counts():
    "All the way if it makes no error, and up to the first one if it does"
    text = tokenize(human_numbers())
    words = make_vocab(text)
    counts = NGram(text, 8)
    starts = [150, 450, 7990, 8002, 9970]
    perfect = how_far(Says(words, counts), words, starts, 20)
    assert perfect.start.tolist() == starts and perfect.right.tolist() == [20] * 5

    def no_sixties(seen):
        return 'fifty' if counts(seen) == 'sixty' else counts(seen)

    found = how_far(Says(words, no_sixties), words, starts, 20)
    assert found.right.tolist() == [10, 10, 20, 20, 20]
    for bad in (1, 2, 8000, 9990):
        with pytest.raises(ValueError, match=f'^starts: {bad}'):
            how_far(Says(words, counts), words, [bad], 20)


@pytest.mark.parametrize(
    'typed, said',
    [
        ('9990', 'nine thousand nine hundred ninety .'),
        ('41 42', 'forty one . forty two .'),
        ('41, 42.', 'forty one . forty two .'),
        ('9,990 nine thousand', 'nine thousand nine hundred ninety . nine thousand'),
        ('3 thousand 412', 'three thousand four hundred twelve .'),
        ('Twenty-one', 'twenty one'),
        ('one hundred and six . one', 'one hundred six . one'),
        ('', ''),
    ],
)
def test_what_people_type(typed, said):
    assert ' '.join(words_of(typed)) == said


def called(capsys, *prompt, **options):
    "Status, output and errors of the command"
    try:
        status = rnnlm_generate(list(prompt), **{k: str(o) for k, o in options.items()})
    except SystemExit as e:
        status = e.code
    return status, *capsys.readouterr()


def test_the_command_goes_on(capsys):
    model, words = load_weights()
    for way in (
        {},
        dict(temperature=1.5, seed=3),
        dict(temperature=2.0, top_k=3, top_p=0.9, seed=3),
        dict(beam=3),
    ):
        prompt = 'nine thousand nine hundred ninety .'
        wanted = continue_text(model, words, prompt, 9, **way)
        status, out, err = called(capsys, '9990', n=9, **way)
        assert (status, out, err) == (None, f'{prompt} {wanted}\n', '')
    # without quotation marks
    prompt = 'one hundred six .'
    _, out, _ = called(capsys, *prompt.split(), n=1)
    assert out == f'{prompt} {continue_text(model, words, prompt, 1)}\n'


@pytest.mark.parametrize(
    'prompt, options, said',
    [
        ('', {}, 'prompt: at least one word'),
        ('nine zillion', {}, "prompt: 'zillion'"),
        ('8000', {}, 'prompt: the count has no 8000'),
        ('12,000', {}, 'prompt: the count has no 12,000'),
        ('-3', {}, 'prompt: the count has no -3'),
        ('2.5', {}, 'prompt: 2.5 is not a whole number'),
        ('one . ' * 600, {}, 'prompt: at most 1,000 words'),
        ('9', dict(n='ten'), "--n: a whole number is needed, not 'ten'"),
        ('9', dict(n=0), '--n: must be'),
        ('9', dict(temperature='hot'), "--temperature: a number is needed, not 'hot'"),
        ('9', dict(temperature='nan'), '--temperature: must be'),
        ('9', dict(top_k=2), '--top_k: at temperature 0'),
        ('9', dict(temperature=1, top_p=2), '--top_p: must be'),
        ('9', dict(beam=0), '--beam: must be'),
        ('9', dict(seed=-1), '--seed: must be'),
    ],
)
def test_the_command_says_what_is_wrong(capsys, prompt, options, said):
    status, out, err = called(capsys, prompt, **options)
    assert status == 2 and out == ''
    assert err.startswith(f'rnnlm_generate: {said}') and err.count('\n') == 1


def test_the_command_from_a_shell(tmp_path):
    "One line says what is wrong, and there is no traceback"
    script = tmp_path / 'rnnlm_generate'
    script.write_text('from rnnlm.generation import main\nmain()\n')
    command = [sys.executable, '-W', 'ignore', script, 'nine', '--beam', '2']
    found = subprocess.run([*command, '--temperature', '1'], capture_output=True, text=True)
    assert found.returncode == 2 and found.stdout == ''
    assert found.stderr.startswith('rnnlm_generate: --beam: a search draws no words')
    assert found.stderr.count('\n') == 1
