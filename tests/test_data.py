"""The corpus says what it should, and its batches are the chapter's, whatever their sizes."""

import math
from collections import Counter, defaultdict

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from num2words import num2words

from properties import often
import rnnlm.data as data
from rnnlm.data import (
    group_chunks,
    human_numbers,
    human_numbers_dls,
    make_vocab,
    numericalize,
    stream_batches,
    tokenize,
)
from rnnlm.tables import n_valid, published


small = (
    'one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen '
    'sixteen seventeen eighteen nineteen'
).split()
tens = 'twenty thirty forty fifty sixty seventy eighty ninety'.split()
values = {word: i for i, word in enumerate(small, 1)}
values |= {word: 10 * i for i, word in enumerate(tens, 2)}


def value(line):
    "The number that `line` says, read word by word"
    total, group = 0, 0
    for word in line.split():
        if word == 'hundred':
            group *= 100
        elif word in ('thousand', 'million'):
            total, group = total + group * {'thousand': 1000, 'million': 1_000_000}[word], 0
        else:
            group += values[word]
    return total + group


@pytest.fixture(scope='module')
def tokens():
    return tokenize(human_numbers())


@pytest.fixture(scope='module')
def million():
    return human_numbers(1_000_000)


# the numbers in words


def test_the_corpus():
    lines = human_numbers()
    assert len(lines) == 9_998 and 'eight thousand' not in lines
    assert [value(o) for o in lines] == [i for i in range(1, 10_000) if i != 8_000]
    assert lines[6999:7001] == ['seven thousand', 'seven thousand one']
    assert lines[7998:8000] == ['seven thousand nine hundred ninety nine', 'eight thousand one']


def test_the_million(million):
    assert len(million) == 999_999 and million[-1] == 'one million'
    assert million[:9_998] == human_numbers()


@often
@given(st.integers(1, 1_000_000).filter(lambda i: i != 8_000))
@example(10_000)
@example(12_010)
@example(99_999)
@example(100_001)
@example(123_456)
def test_a_number_in_words(million, i):
    "It can be read back, and has none of the words and marks that are left out"
    line = million[i - 1 if i < 8_000 else i - 2]
    assert value(line) == i
    assert line == num2words(i).replace(' and ', ' ').replace('-', ' ').replace(',', '')
    assert not {'and', ''} & set(line.split(' ')) and line.replace(' ', '').isalpha()


@often
@given(st.integers(1, 20_000))
def test_a_shorter_count_begins_alike(million, n):
    lines = human_numbers(n)
    assert lines == million[: len(lines)] and len(lines) == n - (n >= 8_000)


def test_the_archive_ends_at_9999():
    text = '^download: the archive holds the numbers up to 9,999, not to 12,000$'
    with pytest.raises(ValueError, match=text):
        human_numbers(12_000, download=True)


# fastai's copy of the corpus


@pytest.fixture
def archive(tmp_path, monkeypatch):
    "A folder where fastai would have put its two files, with lines as it ends them"
    monkeypatch.setenv('FASTAI_HOME', str(tmp_path))
    folder = tmp_path / 'data' / 'human_numbers'
    folder.mkdir(parents=True)
    lines = human_numbers()
    for name, part in {'train': lines[:7_999], 'valid': lines[7_999:]}.items():
        (folder / f'{name}.txt').write_text(''.join(f'{o} \n' for o in part))
    return folder


def never(*args):
    raise AssertionError('the numbers were made, though there is a copy')


def test_a_copy_is_read(archive, monkeypatch):
    lines = human_numbers()
    monkeypatch.setattr(data, '_lines', never)
    assert human_numbers() == lines


@pytest.mark.parametrize('name', ['train', 'valid'])
def test_one_letter(archive, name):
    path = archive / f'{name}.txt'
    path.write_text(path.read_text().replace('nine', 'mine', 1))
    with pytest.raises(ValueError, match='is not Human Numbers .* move that folder away'):
        human_numbers()


def test_half_a_copy(archive, tokens):
    "It is not read"
    (archive / 'valid.txt').unlink()
    assert tokenize(human_numbers()) == tokens


def test_other_words(tmp_path, monkeypatch):
    "A num2words that words numbers differently is named"
    monkeypatch.setenv('FASTAI_HOME', str(tmp_path))
    words = data._words
    monkeypatch.setattr(data, '_words', lambda i: words(i).replace('forty', 'fourty'))
    text = '^num2words .* words numbers differently .* install num2words 0.5.14$'
    with pytest.raises(ValueError, match=text):
        human_numbers()


# words and ids


def test_tokens(tokens):
    assert len(tokens) == 63_095
    vocab = make_vocab(tokens)
    assert vocab == [*dict.fromkeys(tokens)] and len(vocab) == 30
    assert vocab[:4] == ['one', '.', 'two', 'three'] and vocab[-2:] == ['hundred', 'thousand']
    assert numericalize(tokens, vocab)[:10].tolist() == [0, 1, 2, 1, 3, 1, 4, 1, 5, 1]


@often
@given(st.lists(st.text('abc', min_size=1), max_size=30))
def test_there_and_back(words):
    vocab = make_vocab(words)
    ids = numericalize(words, vocab)
    assert ids.dtype == torch.int64 and [vocab[i] for i in ids] == words
    assert sorted(vocab) == sorted(set(words))
    assert [words.index(o) for o in vocab] == sorted(words.index(o) for o in vocab)


# batches


def chapters_batches(nums, sl, bs):
    "Sequences, reordered as the chapter does, and stacked"
    seqs = [(nums[i : i + sl], nums[i + 1 : i + sl + 1]) for i in range(0, len(nums) - sl, sl)]
    rows = group_chunks(seqs, bs)
    return [tuple(torch.stack(o) for o in zip(*rows[i : i + bs])) for i in range(0, len(rows), bs)]


sizes = dict(sl=st.integers(1, 9), bs=st.integers(1, 7))


@often
@given(n=st.integers(0, 300), dtype=st.sampled_from([torch.int64, torch.int32]), **sizes)
@example(n=7 * 9 + 1, dtype=torch.int64, sl=9, bs=7)
def test_slices_are_the_chapters_batches(n, dtype, sl, bs):
    nums = torch.randperm(n).to(dtype)
    m = max(n - 1, 0) // sl // bs
    if m == 0:
        text = f'^bs: {bs} rows of {sl} tokens need {bs * sl + 1} tokens'
        with pytest.raises(ValueError, match=text):
            stream_batches(nums, sl, bs)
        return
    ours, theirs = stream_batches(nums, sl, bs), chapters_batches(nums, sl, bs)
    assert len(ours) == len(theirs) == m
    for batch, wanted in zip(ours, theirs):
        for a, b in zip(batch, wanted):
            assert a.dtype == dtype and a.is_contiguous() and torch.equal(a, b)


@often
@given(n=st.integers(65, 400), **sizes)
def test_rows_go_on(n, sl, bs):
    batches = stream_batches(torch.arange(n), sl, bs)
    m = len(batches)
    for row in range(bs):
        read = torch.cat([xb[row] for xb, _ in batches])
        assert read.tolist() == list(range(row * m * sl, (row + 1) * m * sl))
    assert all(torch.equal(yb, xb + 1) for xb, yb in batches)


@often
@given(st.integers(0, 60), st.integers(1, 9))
def test_group_chunks(n, bs):
    "Every sequence once, but for the last ones that fill no batch; row `j` goes on by one"
    order = group_chunks(list(range(n)), bs)
    m = n // bs
    assert sorted(order) == list(range(m * bs))
    for i in range(len(order) - bs):
        assert order[i + bs] == order[i] + 1


def test_the_chapters_numbers(tokens):
    nums = numericalize(tokens, make_vocab(tokens))
    seqs = range(0, len(nums) - 16 - 1, 16)
    assert len(seqs) == 3_943 and int(0.8 * len(seqs)) == 3_154
    dls = human_numbers_dls(device='cpu')
    assert (len(dls.train), len(dls.valid), len(dls.vocab)) == (49, 12, 30)
    assert sum(yb.numel() for _, yb in dls.valid) == n_valid == 12_288
    for model in ('LMModel4', 'LMModel5', 'LMModel6', 'LMModel7'):
        right = published(model).accuracy * n_valid
        assert (right - right.round()).abs().max() < 0.01


@often
@given(n=st.integers(60, 1500), sl=st.integers(1, 20), bs=st.integers(1, 9))
@example(n=9_000, sl=16, bs=64)
def test_loaders_of_any_size(n, sl, bs):
    "Both parts are the chapter's batches of tokens, and share one word"
    tokens = tokenize(human_numbers(n))
    vocab = make_vocab(tokens)
    nums = numericalize(tokens, vocab)
    cut = sl * int(0.8 * ((len(nums) - 1) // sl))
    parts = [nums[: cut + 1], nums[cut:]]
    if any((len(o) - 1) // sl < bs for o in parts):
        with pytest.raises(ValueError, match=f'^bs: {bs} rows of {sl} tokens need '):
            human_numbers_dls(sl, bs, 'cpu', n)
        return
    dls = human_numbers_dls(sl, bs, 'cpu', n)
    assert dls.vocab == dls.train.vocab == dls.valid.vocab == vocab
    for dl, part in zip(dls, parts):
        wanted = chapters_batches(part, sl, bs)
        assert len(dl) == len(wanted)
        assert all(torch.equal(a, b) for o, w in zip(dl, wanted) for a, b in zip(o, w))


# what the lesson says of the corpus


def followed(text, k):
    "How often each word follows each run of `k` words"
    seen = defaultdict(Counter)
    for i in range(k, len(text)):
        seen[tuple(text[i - k : i])][text[i]] += 1
    return seen


def test_seven_words_settle_the_next(tokens):
    shares = []
    for k in range(8):
        seen = followed(tokens, k)
        shares.append(sum(max(o.values()) for o in seen.values()) / (len(tokens) - k))
    assert [round(o, 2) for o in shares] == [0.16, 0.22, 0.47, 0.47, 0.49, 0.54, 0.64, 1.0]
    assert all(o.total() == 1 for o in seen.values())
    assert any(len(o) == 9 for o in followed(tokens, 6).values())


def test_two_words_settle_the_words_between(tokens):
    between = ('.', 'hundred', 'thousand')
    assert math.isclose(sum(o in between for o in tokens) / len(tokens), 0.44, abs_tol=0.005)
    right = Counter()
    for k in (1, 2):
        for o in followed(tokens, k).values():
            word, n = o.most_common(1)[0]
            right[k] += n * (word in between)
    shares = [right[k] / sum(o in between for o in tokens) for k in (1, 2)]
    assert shares[0] < 0.4 and shares[1] > 0.95


def test_the_faultless_counter(tokens):
    "It errs in the first six words of a row only, and gets 0.983; 0.848 without thousands"
    tables = [followed(tokens, k) for k in range(8)]
    dls = human_numbers_dls(device='cpu')
    x, y = (torch.cat(o, 1).tolist() for o in zip(*dls.valid))
    wrong, thousands = Counter(), 0
    for row, targets in zip(x, y):
        words, wanted = [dls.vocab[i] for i in row], [dls.vocab[i] for i in targets]
        for i, word in enumerate(wanted):
            k = min(i + 1, 7)
            guess = tables[k][tuple(words[i + 1 - k : i + 1])].most_common(1)[0][0]
            wrong[i] += guess != word
    assert max(i for i, n in wrong.items() if n) == 5
    assert round(1 - wrong.total() / n_valid, 3) == 0.983
    start = 16 * 3_154
    thousands = sum(tokens[start + i + 2] == 'thousand' for i in range(n_valid))
    assert round(1 - thousands / n_valid, 3) == 0.848


def test_the_cut(tokens):
    cut = 16 * 3_154
    assert tokens[cut - 1 : cut + 3] == ['eight', 'thousand', 'eighty', 'three']
    pairs = Counter(zip(tokens[: cut + 1], tokens[1 : cut + 1]))
    later = Counter(zip(tokens[cut:], tokens[cut + 1 :]))
    assert pairs['eight', 'thousand'] == 83 and pairs['nine', 'thousand'] == 0
    assert later['eight', 'thousand'] == 916 and later['nine', 'thousand'] == 1_000
    assert sum(n for (_, word), n in later.items() if word == 'thousand') == 1_916
    # 18 sequences fill no batch, so that the training batches end within 8,024
    dls = human_numbers_dls(device='cpu')
    *_, (_, yb) = dls.train
    assert [dls.vocab[i] for i in yb[-1, -3:]] == ['eight', 'thousand', 'twenty']
