"""What is wrong, by thousand and place in the row; predictors without training; another split."""

from collections import Counter

import pytest
import torch

from rnnlm.data import human_numbers, human_numbers_dls, make_vocab, numericalize, tokenize
from rnnlm.errors import (
    NGram,
    Reading,
    by,
    by_role,
    copy_last,
    guesses,
    predictions,
    spread_dls,
    thousands_of,
)
from rnnlm.lstm_lm import LMModel6

text = tokenize(human_numbers())
training = text[: 16 * 3154]


@pytest.fixture(scope='module')
def valid():
    return human_numbers_dls(device='cpu').valid


@pytest.fixture(scope='module')
def perfect():
    return NGram(text, 8)


@pytest.mark.parametrize(
    'words, thousands',
    [
        ('two . three .', '0 0 0 0'),
        ('nine thousand two . nine thousand three .', '9 9 9 9 9 9 9 9'),
        ('hundred two . four thousand one hundred three', '4 4 4 4 4 4 4 4'),
        ('ninety nine . one thousand . one', '0 0 0 1 1 1 1'),
        ('nine . five thousand . five thousand', '4 4 5 5 5 5 5'),
    ],
)
def test_thousands(words, thousands):
    assert ' '.join(map(str, thousands_of(words.split()))) == thousands


def test_thousands_of_the_whole_text():
    "As the numbers themselves say"
    wanted = []
    for i, line in enumerate(human_numbers()):
        number = i + 1 if i < 7999 else i + 2
        wanted += [number // 1000] * (len(line.split()) + 1)
    assert thousands_of(text) == wanted[:-1]


def test_by_any_column(valid):
    torch.manual_seed(0)
    frame = predictions(LMModel6(30, 8, 1), valid)
    assert frame.position.tolist() == list(range(192)) * 64
    right = frame.word == frame.predicted
    for column in ('thousand', 'position', 'role'):
        table = by(frame, column)
        assert table.share.sum() == pytest.approx(1)
        assert (table.share * table.accuracy).sum() == pytest.approx(right.mean())
        assert (table.share * table.loss).sum() == pytest.approx(frame.loss.mean())
        assert table.share_of_loss.sum() == pytest.approx(1)
    one = frame[frame.thousand == 9]
    assert by(frame, 'thousand').accuracy[9] == (one.word == one.predicted).mean()
    assert list(by(frame, 'thousand').index) == [8, 9]


def test_reading_on_is_reading_at_once():
    torch.manual_seed(0)
    model = LMModel6(30, 8, 2)
    ids = torch.randint(30, (3, 12))
    read = Reading(model)
    parts = [read(o) for o in ids.split(5, 1)]
    torch.testing.assert_close(torch.cat(parts, 1), Reading(model)(ids))
    assert model.training and model.h is None
    assert not parts[0].requires_grad


@pytest.mark.parametrize('n', [1, 2, 4])
def test_ngrams_count(n):
    "The likeliest word after the longest context that the text has"
    words = training[:3000]
    guess = NGram(words, n)
    for seen in (training[4000 : 4000 + k] for k in range(1, 9)):
        for k in range(min(n - 1, len(seen)), -1, -1):
            context = seen[len(seen) - k :]
            found = Counter(
                words[i] for i in range(k, len(words)) if words[i - k : i] == context
            )
            if found:
                break
        assert found[guess(seen)] == max(found.values())


def test_an_ngram_knows_only_what_it_has_met(valid):
    assert NGram(['a', 'b', 'a', 'b'], 3)(['z', 'a']) == 'b'
    assert NGram(['a', 'a', 'b'], 3)(['z']) == 'a'
    with pytest.raises(ValueError, match='n: must be'):
        NGram(['a'], 0)
    # "nine thousand" is not in the text to train on
    table = by_role(guesses(NGram(training, 7), valid))
    assert table.accuracy['thousands digit'] < 0.1


@pytest.mark.parametrize(
    'seen, said',
    [
        ('one . two', '.'),
        ('one hundred two .', 'one'),
        ('one hundred two . one', 'hundred'),
        ('one hundred two . one hundred three', '.'),
        ('seven', '.'),
        ('two . nine hundred', '.'),
    ],
)
def test_copying(seen, said):
    assert copy_last(seen.split()) == said


def test_guesses_are_for_the_words_that_a_model_predicts(valid):
    frame = guesses(copy_last, valid)
    model = predictions(LMModel6(30, 4, 1), valid)
    for column in ('word', 'role', 'thousand', 'position'):
        assert frame[column].equals(model[column])
    assert 'loss' not in frame
    # what a row shows, and nothing of the one before
    begin = []
    guesses(lambda seen: begin.append(len(seen)) or '.', valid)
    assert begin == list(range(1, 193)) * 64


def test_the_ceiling(valid, perfect):
    "Of one who knows the count and sees only the row, by looking for the row's words everywhere"
    frame = guesses(perfect, valid)
    right = frame.word == frame.predicted
    assert round(right.mean(), 3) == 0.983
    assert right[frame.position >= 6].all() and not right[frame.position < 6].all()
    ids = numericalize(text, make_vocab(text))
    rows = torch.cat([xb for xb, _ in valid], 1)
    said = numericalize(frame.predicted.tolist(), valid.vocab).view(rows.shape)
    for row, guessed in zip(rows, said):
        places = torch.arange(len(ids) - 1)
        for word, guess in zip(row[:20].tolist(), guessed[:20].tolist()):
            places = places[(places < len(ids) - 1) & (ids[places] == word)] + 1
            counts = ids[places].bincount(minlength=30)
            # of words that are equally likely, any one may be said
            assert counts[guess] == counts.max()


def test_a_split_over_the_whole_text():
    dls, chapter = spread_dls(), human_numbers_dls(device='cpu')
    sizes = [len(list(o.train)) * 64 * 16 for o in (dls, chapter)]
    assert sizes[0] == sizes[1]
    ids = numericalize(text, make_vocab(text))
    rows = {}
    for part, dl in (('train', dls.train), ('valid', dls.valid)):
        xs, ys = (torch.cat(o, 1) for o in zip(*dl))
        assert torch.equal(xs[:, 1:], ys[:, :-1])
        rows[part] = xs
    width = rows['train'].shape[1]
    held_out = range(4, 80, 5)
    for part, places in (
        ('valid', held_out),
        ('train', [i for i in range(80) if i not in held_out]),
    ):
        wanted = torch.stack([ids[i * width : (i + 1) * width] for i in places])
        assert torch.equal(rows[part], wanted)
    for dl in (dls.train, dls.valid):
        assert set(predictions(LMModel6(30, 4, 1), dl).thousand) == set(range(10))
    assert not {9} & set(predictions(LMModel6(30, 4, 1), chapter.train).thousand)
