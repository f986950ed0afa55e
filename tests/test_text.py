"""Texts of your own: words, loaders, n-grams and their errors, on texts that are made here."""

import math
import pickle
from collections import Counter
from functools import partial

import pytest
import torch
from fastai.learner import load_learner
from fastai.text.core import BOS, UNK, BaseTokenizer, SpacyTokenizer, TokenizeWithRules, defaults
from fastai.text.models.awdlstm import AWD_LSTM, awd_lstm_lm_config
from fastai.text.models.core import get_language_model
from hypothesis import given
from hypothesis import strategies as st

from properties import often
import rnnlm.text as text
from rnnlm.awd_lstm import AWDLanguageModel
from rnnlm.generation import continue_text
from rnnlm.tables import stored
from rnnlm.text import (
    KneserNey,
    choose,
    drops,
    load_fastai,
    models,
    network_probs,
    python_prose,
    rates,
    stream_of,
    survey,
    text_dls,
    text_learner,
    word_tokens,
)

count = ' '.join(f'{a} {b}' for a in 'abcdefgh' for b in 'ijklmnop')
small = partial(text_dls, min_freq=1, sl=4, bs=2, device='cpu')


def words_of(dls, loader):
    return [dls.vocab[i] for i in stream_of(loader)]


# words


def test_words():
    said = list(word_tokens(['It isn’t so: "A --- b"...', '']))
    assert said == [['it', 'isn’t', 'so', ':', '"', 'a', '---', 'b', '"', '...'], []]


def test_the_stream_is_the_text():
    "Every word of the text in its order, the end of the text to validate on"
    dls = small(count, valid=0.25)
    words = [BOS, *count.split()]
    cut = round(len(words) * 0.75)
    train, valid = words_of(dls, dls.train), words_of(dls, dls.valid)
    assert train == words[: len(train)] and cut - 8 <= len(train) <= cut
    known = [o if o in dls.vocab else UNK for o in words[cut : cut + len(valid)]]
    assert valid == known and len(words) - cut - 8 <= len(valid)


def test_rows_go_on():
    dls = small(count, valid=0.25)
    (x1, y1), (x2, _) = list(dls.train)[:2]
    assert torch.equal(y1[:, -1], x2[:, 0]) and torch.equal(x1[:, 1:], y1[:, :-1])


def test_each_text_has_an_end():
    "Of each text the last quarter, and `xxbos` before each text"
    dls = small([count, count.upper().replace('A', 'Z')], valid=0.25)
    train = words_of(dls, dls.train)
    assert train.count(BOS) == 2
    assert 'z' in train and BOS not in words_of(dls, dls.valid)


def test_texts_to_validate_on():
    dls = small(count, valid=['a b c d e f g h ' * 3])
    assert words_of(dls, dls.valid)[:9] == [BOS, *'abcdefgh']
    assert len(words_of(dls, dls.train)) > 120


def test_unknown_words():
    "What training has too rarely, and what only the validation part has, is `xxunk`"
    dls = small('a b ' * 40 + 'c ' + 'a d ' * 10, min_freq=2, valid=0.2)
    assert dls.vocab[: len(defaults.text_spec_tok)] == defaults.text_spec_tok
    assert set(dls.vocab) - set(defaults.text_spec_tok) == {'a', 'b'}
    assert UNK in words_of(dls, dls.valid)


def test_size_of_the_vocabulary():
    dls = small('a a a a b b b c c d ' * 10, max_vocab=11)
    assert dls.vocab[9:] == ['a', 'b']
    assert small('a b c ' * 30).vocab == small('a b c ' * 30).vocab


@pytest.mark.parametrize(
    'tokenizer',
    [BaseTokenizer, BaseTokenizer(), SpacyTokenizer(), TokenizeWithRules(SpacyTokenizer())],
    ids=['class', 'blanks', 'spacy', 'rules'],
)
def test_fastais_tokenisers(tokenizer):
    dls = small(['One two\nthree four. ' * 10, 'Five six ' * 10], tokenizer, valid=0.3)
    words = words_of(dls, dls.train)
    assert words[0] == BOS and words[1] != BOS
    assert not any(o != o.strip() or not o for o in dls.vocab)
    assert {'three', 'four.'} <= set(words) or {'three', 'four', '.'} <= set(words)


def test_a_folder(tmp_path):
    "Its .txt files in the order of their names, below it too, and no other file"
    (tmp_path / 'deep').mkdir()
    (tmp_path / 'b.txt').write_text('b ' * 30, encoding='utf-8')
    (tmp_path / 'a.txt').write_text('é ' * 30, encoding='utf-8')
    (tmp_path / 'deep/c.txt').write_text('c ' * 30, encoding='utf-8')
    (tmp_path / 'd.md').write_text('d ' * 30, encoding='utf-8')
    dls = small(tmp_path, valid=0.3)
    train = ''.join(o for o in words_of(dls, dls.train) if o != BOS)
    assert train.startswith('é' * 21 + 'b' * 21 + 'c') and 'd' not in train
    one = small([tmp_path / 'a.txt', 'b ' * 30], valid=0.3)
    assert set(one.vocab[9:]) == {'é', 'b'}


# bad input: one line that says what to mend


def bad(error, said, *args, **kwargs):
    with pytest.raises(error, match=said) as raised:
        small(*args, **kwargs)
    assert '\n' not in str(raised.value)


def test_no_text(tmp_path):
    bad(ValueError, '^texts: no text was given', [])
    bad(ValueError, '^texts: there is no word', [' ', '\n'])
    bad(ValueError, '^texts: the folder .* has no .txt file', tmp_path)
    bad(ValueError, '^texts: there is no file or folder', tmp_path / 'none')
    bad(ValueError, '^valid: no text was given', count, valid=[])


def test_no_utf8(tmp_path):
    (tmp_path / 'a.txt').write_bytes(b'caf\xe9 ' * 30)
    bad(ValueError, r'^texts: .*a\.txt is no UTF-8 at byte 3', tmp_path)


def test_a_string_where_a_path_was_meant(tmp_path):
    bad(ValueError, r'^texts: .* is a string.* give Path\(', str(tmp_path))
    bad(ValueError, r'^texts: .* is a string.* give Path\(', ['somewhere/a.txt'])
    # the control: a long text without a line's end is a text
    assert small('one two ' * 200).vocab[9:] == ['one', 'two']


def test_kinds():
    bad(TypeError, '^texts: each must be a string.* not bytes', [b'abc'])
    bad(TypeError, '^texts: each must be a string.* not int', [3])
    bad(TypeError, '^texts: each must be a string.* not NoneType', None)
    bad(TypeError, '^valid: each must be a string.* not NoneType', count, valid=None)


@pytest.mark.parametrize('valid', [0, 1, -0.1, 1.5, True, float('nan')])
def test_shares(valid):
    bad(ValueError, '^valid: must be a share between 0 and 1', count, valid=valid)


def test_sizes():
    bad(ValueError, '^texts: the validation part has 13 words.* needs 41', count, bs=10)
    bad(ValueError, '^texts: the training part has', count, bs=100)
    bad(ValueError, '^bs: must be', count, bs=0)
    bad(ValueError, '^min_freq: must be', count, min_freq=0)
    bad(ValueError, '^max_vocab: must be above 9', count, max_vocab=9)


# n-grams


def test_a_case_worked_out_on_paper():
    """The text 0 1 0 2 0 1 in pairs: 01 twice, 10, 02 and 20 once, so the discount is 3/5. Before
    0 stood two different words, before 1 and before 2 one: the discount is 2/4."""
    model = KneserNey([0, 1, 0, 2, 0, 1], 3, order=2)
    below = [(1.5 + 0.5) / 4, (0.5 + 0.5) / 4, (0.5 + 0.5) / 4]
    assert [model.prob(w, []) for w in range(3)] == pytest.approx(below)
    after_0 = [0.6 * 2 * 0.5 / 3, (2 - 0.6 + 0.6 * 2 * 0.25) / 3, (1 - 0.6 + 0.6 * 2 * 0.25) / 3]
    assert [model.prob(w, [0]) for w in range(3)] == pytest.approx(after_0)
    logs = [math.log(o) for o in (after_0[1], model.prob(0, [1]))]
    assert model.loss([0, 1, 0]) == pytest.approx(-sum(logs) / 2)


@often
@given(
    ids=st.lists(st.integers(0, 5), max_size=60),
    order=st.integers(1, 5),
    context=st.lists(st.integers(0, 6), max_size=6),
)
def test_probabilities_sum_to_one(ids, order, context):
    "After any context, seen or not, with words that were never seen"
    model = KneserNey(ids, 7, order)
    ps = [model.prob(w, context) for w in range(7)]
    assert sum(ps) == pytest.approx(1) and min(ps) > 0


def test_counts_before_a_word_matter():
    "What is Kneser–Ney in it: a frequent word that follows only one other is unlikely elsewhere"
    ids = [0, 1] * 20 + [2, 3, 4, 3, 5, 3, 6, 3]
    model = KneserNey(ids, 8, order=2)
    assert Counter(ids)[1] > 4 * Counter(ids)[3]
    assert model.prob(3, [7]) > 2 * model.prob(1, [7])


# models


@pytest.mark.parametrize('model', models)
def test_training_and_export(model, tmp_path):
    dls = small(count * 3, valid=0.2)
    torch.manual_seed(0)
    learn = text_learner(model, dls, 0.3, width=8)
    with learn.no_bar(), learn.no_logging():
        before = learn.validate(dl=dls.train)[0]
        learn.fit_one_cycle(3, 1e-2)
        loss, _, perplexity = learn.validate()
        assert learn.validate(dl=dls.train)[0] < before
    assert perplexity == pytest.approx(math.exp(loss))
    learn.export(tmp_path / 'model.pkl')
    back = load_learner(tmp_path / 'model.pkl')
    said = continue_text(back.model, back.dls.vocab, 'a i', 5)
    assert said == continue_text(learn.model, dls.vocab, 'a i', 5)


def test_how_likely_a_network_finds_each_word():
    "In the order of the text: as the network's loss, and word by word for scores that never change"
    dls = small(count, valid=0.25)
    learn = text_learner('LMModel6', dls, width=8)
    with learn.no_bar(), learn.no_logging():
        loss = learn.validate()[0]
    chances = network_probs(learn.model, dls.valid)
    assert -chances.log().mean().item() == pytest.approx(loss, rel=1e-5)

    class Same(torch.nn.Module):
        scores = torch.arange(len(dls.vocab)) / 5

        def reset(self):
            pass

        def forward(self, x):
            return self.scores.expand(*x.shape, -1)

    ids = stream_of(dls.valid)
    expected = Same.scores.softmax(-1)[ids[1:]].double()
    assert torch.allclose(network_probs(Same(), dls.valid), expected)
    counted = KneserNey(stream_of(dls.train), len(dls.vocab), order=2)
    assert counted.probs(ids).tolist() == [counted.prob(b, [a]) for a, b in zip(ids, ids[1:])]


def test_rate_finder(tmp_path):
    learn = text_learner('LMModel7', small(count * 9), 0.3, width=8)
    learn.path = tmp_path
    before = [o.clone() for o in learn.model.parameters()]
    with learn.no_bar(), learn.no_logging():
        assert 1e-7 < learn.lr_find(show_plot=False).valley < 10
    assert all(torch.equal(a, b) for a, b in zip(before, learn.model.parameters(), strict=True))


def test_without_dropout():
    dls = small(count)
    for model, drops in (('AWD-LSTM without dropout', False), ('AWD-LSTM', True)):
        net = text_learner(model, dls, 2.0, width=8).model.train()
        x, _ = dls.one_batch()
        outs = []
        for _ in range(2):
            net.reset()
            outs.append(net(x)[0])
        assert torch.equal(*outs) != drops


def test_fastais_weights():
    "Words in another order and one unknown: the others are scored as fastai's model scores them"
    config = dict(emb_sz=6, n_hid=7, n_layers=2)
    torch.manual_seed(0)
    theirs = get_language_model(AWD_LSTM, 12, awd_lstm_lm_config | config).eval()
    old = [*defaults.text_spec_tok, 'a', 'b', 'c']
    new = [*defaults.text_spec_tok, 'c', 'new', 'b', 'a']
    ours = AWDLanguageModel(13, config).eval()
    load_fastai(ours, pickle.loads(pickle.dumps(theirs.state_dict())), old, new)
    shared = [o for o in new if o in old]
    ids = [old.index(o) for o in 'abcab']
    out = theirs(torch.tensor([ids]))[0][..., [old.index(o) for o in shared]]
    mine = ours(torch.tensor([[new.index(o) for o in 'abcab']]))[0]
    assert torch.allclose(out, mine[..., [new.index(o) for o in shared]], atol=1e-6)
    mean = theirs.state_dict()['0.encoder.weight'].mean(0)
    assert torch.allclose(ours[0].i_h.weight[new.index('new')], mean)
    with pytest.raises(RuntimeError):
        load_fastai(AWDLanguageModel(13, config | dict(n_hid=8)), theirs.state_dict(), old, new)


# what is stored


def test_prose():
    "Whatever Python's version: paragraphs of prose, none of them twice"
    paragraphs = [o for topic in python_prose() for o in topic.split('\n')]
    assert len(paragraphs) > 100 and len(set(paragraphs)) == len(paragraphs)
    letters = sum(o.isalpha() for o in ''.join(paragraphs) if not o.isspace())
    assert letters > 0.85 * sum(not o.isspace() for o in ''.join(paragraphs))


def test_the_best_of_each_list():
    "First one list, then the other with what was best of the first"

    def measure(drop, rate):
        return abs(drop - 0.6) + abs(rate - (2e-2 if drop == 0.6 else 1e-2))

    assert choose('LMModel7', measure) == dict(drop=0.6, rate=2e-2)
    assert choose('LMModel6', lambda **o: 0.0) == dict(drop=0.0, rate=1e-2)


def test_a_survey_goes_on(tmp_path, monkeypatch, capsys):
    made = []

    def run(model, part, seed, drop, rate):
        made.append((model, part, drop, rate))
        return dict(valid_loss=1 / 3 - rate - drop)

    monkeypatch.setattr(text, '_run', run)
    path = tmp_path / 'o.csv'
    survey(path, seeds=1)
    first = path.read_text()
    tried = sum(len(drops[o]) + len(rates) - 1 for o in models)
    assert len(made) == 2 + tried + len(models)
    assert [o[0] for o in made[:6]] == ['5-gram', '5-gram', *models]
    assert made[-4:] == [(o, 'validation', max(drops[o]), max(rates)) for o in models]
    assert len(capsys.readouterr().out.splitlines()) == len(made)
    survey(path, seeds=1)
    assert len(made) == 2 + tried + len(models) and path.read_text() == first
    survey(path, seeds=2)
    assert len(made) == 2 + tried + 2 * len(models)
    assert path.read_text().startswith(first)


def test_the_stored_survey():
    "A first trial of each model; what has trained from other seeds is what its trials chose"
    runs = stored('own_text.csv')
    assert runs.python.nunique() == 1 and not runs.duplicated(list(runs)[:5]).any()
    columns = ['model', 'drop', 'rate']
    losses = runs[runs.part == 'held out'].set_index(columns).valid_loss
    assert all((o, drops[o][0], rates[0]) in losses.index for o in models)
    final = runs[(runs.part == 'validation') & (runs.model != '5-gram')]
    for settings, _ in final.groupby(columns):
        best = choose(settings[0], lambda model=settings[0], **o: losses[model, *o.values()])
        assert settings[1:] == tuple(best.values())
