"""Getting "nine thousand" right: training never reads it, nobody peeks ahead, and the stored table
is whole."""

import pytest
import torch

from rnnlm.data import human_numbers_dls
from rnnlm.errors import predictions
from rnnlm.generalise import (
    Adapting,
    Cached,
    Kind,
    PointerLM,
    keep_runs,
    kinds,
    learner_of,
    number_words,
    rename_rows,
    split_before,
    tried,
    ways,
)
from rnnlm.tables import stored
from rnnlm.transformer import TransformerLM
from rnnlm.weight_tying import LMModel7

unread_words = ['nine', 'seven', 'five']
models = {
    'LMModel7': lambda: LMModel7(30, 16, 2, 0.4),
    'pointer': lambda: PointerLM(30, 16, 2, 0.4),
    'Transformer': lambda: TransformerLM(30, 16),
}


def read(loader):
    "What one pass reads, and what it asks for: each rows × words"
    batches = list(loader)
    return [torch.cat([pair[side] for pair in batches], 1) for side in (0, 1)]


def pairs(loader):
    "How often each word comes before thousand, in what is read and in what is asked for"
    id_of = loader.vocab.index
    found = torch.cat([row[:, :-1][row[:, 1:] == id_of('thousand')] for row in read(loader)])
    return {word: int((found == id_of(word)).sum()) for word in loader.vocab}


def test_before_nine_is_the_chapters_split():
    ours, chapters = split_before('nine'), human_numbers_dls(device='cpu')
    for mine, theirs in zip(ours.loaders, chapters.loaders):
        pairs_of = list(zip(mine.dataset.batches, theirs.dataset.batches, strict=True))
        assert all(torch.equal(a[i], b[i]) for a, b in pairs_of for i in (0, 1))


@pytest.mark.parametrize('unread', unread_words)
def test_training_never_reads_it(unread):
    dls = split_before(unread)
    assert pairs(dls.train)[unread] == 0
    assert pairs(dls.valid)[unread] > 1_000
    later = number_words[number_words.index(unread) + 1 :]
    assert not any(pairs(dls.valid)[o] for o in later)


@pytest.mark.parametrize('name', [o for o in tried if tried[o].span])
def test_renaming_never_reads_it(name):
    train = learner_of(tried[name], 'seven').dls.train
    counts = [pairs(train) for _ in range(2)]
    assert all(o['seven'] == 0 for o in counts)
    assert counts[0] != counts[1]
    assert all(o['eight'] + o['nine'] > 0 for o in counts)


def test_without_the_exception_it_would():
    dls = split_before('nine')
    rename_rows(dls, [], 784, 0.0, number_words)
    assert pairs(dls.train)['nine'] > 0


def test_only_thousands_are_renamed_and_rows_agree_with_themselves():
    dls = split_before('nine')
    plain = read(dls.train)
    rename_rows(dls, ['nine'], 784, 0.0, number_words)
    renamed = read(dls.train)
    assert torch.equal(renamed[0][:, 1:], renamed[1][:, :-1])
    thousand = dls.vocab.index('thousand')
    is_digit = torch.zeros_like(plain[0], dtype=torch.bool)
    is_digit[:, :-1] = plain[0][:, 1:] == thousand
    is_digit[:, -1] = plain[1][:, -1] == thousand
    assert torch.equal(plain[0][~is_digit], renamed[0][~is_digit])
    for before, after, where in zip(plain[0], renamed[0], is_digit):
        names = set(zip(before[where].tolist(), after[where].tolist()))
        assert len(names) == len({old for old, _ in names}) == len({new for _, new in names})


@pytest.mark.parametrize('kept', [0.0, 0.5, 1.0])
def test_a_share_of_rows_stays(kept):
    dls = split_before('nine')
    plain = torch.cat([xb for xb, _ in dls.train], 1)
    rename_rows(dls, ['nine'], 784, kept, number_words)
    torch.manual_seed(0)
    same = (torch.cat([xb for xb, _ in dls.train], 1) == plain).all(1).float().mean()
    # the first rows have no thousands, so they are always the same
    assert abs(same - (kept + (1 - kept) * 7 / 64)) < 0.2


def wrapped(name, way):
    torch.manual_seed(0)
    model = models[name]().eval()
    return {'adapting': Adapting(model, 0.01), 'cache': Cached(model, 1.0, 0.5)}.get(way, model)


both = [(name, way) for name in models for way in ways if name == 'LMModel7' or way != 'cache']


@pytest.mark.parametrize('name, way', both)
def test_no_word_changes_what_was_said_before_it(name, way):
    words = torch.randint(0, 30, (3, 48), generator=torch.Generator().manual_seed(1))
    changed = words.clone()
    changed[:, 23] = (changed[:, 23] + 1) % 30
    said = []
    for text in (words, changed):
        model = wrapped(name, way).eval()
        model.reset()
        out = [model(o) for o in text.split(16, 1)]
        said.append(torch.cat([o[0] if isinstance(o, tuple) else o for o in out], 1).detach())
    assert torch.allclose(said[0][:, :23], said[1][:, :23], atol=1e-6)
    assert not torch.allclose(said[0][:, 23:], said[1][:, 23:], atol=1e-4)


def test_adapting_learns_and_forgets():
    torch.manual_seed(0)
    model = LMModel7(30, 16, 2, 0.0)
    start = [p.clone() for p in model.parameters()]
    dl = split_before('nine').valid
    plain = predictions(model, dl).loss.mean()
    adapting = Adapting(model, 0.01)
    first, again = [predictions(adapting, dl).loss.mean() for _ in range(2)]
    assert first == again < plain - 0.2
    assert all(torch.equal(a, b) for a, b in zip(start, model.parameters()))


def test_adapting_learns_what_came_next():
    torch.manual_seed(0)
    adapting = Adapting(LMModel7(30, 16, 2, 0.0), 0.05)
    x = torch.tensor([[1, 2] * 8])
    for _ in range(20):
        logits = adapting(x)
    assert logits.argmax(-1).tolist() == [[2, 1] * 8]


def test_a_cache_of_one_word():
    "After the same state the cache expects the same word, with all of its share"

    class Counting(torch.nn.Module):
        def reset(self):
            pass

        def forward(self, x):
            states = torch.nn.functional.one_hot(x, 5).float()
            return torch.zeros(*x.shape, 5), states, states

    probs = Cached(Counting(), 100.0, 0.5)(torch.tensor([[1, 2, 1, 3, 1]])).exp()[0]
    assert torch.allclose(probs.sum(-1), torch.ones(5), atol=1e-5)
    assert torch.allclose(probs[0], torch.full((5,), 0.2))
    assert torch.allclose(probs[2], torch.tensor([0.1, 0.1, 0.6, 0.1, 0.1]), atol=1e-4)
    assert torch.allclose(probs[4], torch.tensor([0.1, 0.1, 0.35, 0.35, 0.1]), atol=1e-4)


def test_a_pointer_gives_probabilities_and_can_copy():
    torch.manual_seed(0)
    model = PointerLM(30, 16, 2, 0.0)
    x = torch.randint(0, 9, (4, 16))
    assert torch.allclose(model(x)[0].exp().sum(-1), torch.ones(4, 16), atol=1e-4)
    # no trust in the vocabulary: only words that were read are left
    torch.nn.init.constant_(model.gate.bias, -50.0)
    model.reset()
    probs = model(x)[0].exp()
    assert probs[..., 9:].max() < 1e-6 and (probs[:, 0].argmax(-1) == x[:, 0]).all()


def test_the_pointer_copies_from_the_batch_before():
    model = PointerLM(30, 16, 2, 0.0)
    torch.nn.init.constant_(model.gate.bias, -50.0)
    model(torch.full((1, 16), 7))
    later = torch.full((1, 16), 3)
    assert model(later)[0].exp()[0, 0, 7] > 0.1
    model.reset()
    assert model(later)[0].exp()[0, 0, 7] < 1e-6


def test_a_transformer_remembers_the_batches_before():
    torch.manual_seed(0)
    model = kinds['Transformer'].net(30).eval()
    x = torch.randint(0, 30, (3, 16))
    model.reset()
    whole = model(x)[0]
    model.reset()
    pieces = torch.cat([model(o)[0] for o in x.split(4, 1)], 1)
    assert torch.allclose(whole, pieces, atol=1e-5)
    model.reset()
    assert not torch.allclose(model(x[:, 12:])[0], whole[:, 12:], atol=1e-2)


def test_sizes():
    sizes = {o: sum(p.numel() for p in kinds[o].net(30).parameters()) for o in kinds}
    assert sizes['LMModel7'] == 68_510
    assert all(o <= 2 * 68_510 for o in sizes.values())


@pytest.fixture(scope='module')
def table():
    return stored('generalise.csv')


def test_the_table_is_whole(table):
    keys = ['unread', 'kind', 'seed', 'way']
    assert not table.duplicated(keys).any()
    # what was chosen by was read as it is
    asked = table[table.unread != 'seven']
    each = asked.groupby(['unread', 'kind', 'seed']).way.agg(set)
    assert (each == set(ways)).all()
    assert set(asked[asked.unread == 'nine'].kind) == set(kinds)
    # settings were tried before seven alone
    assert set(asked.kind) <= set(kinds) and set(table.kind) <= set(tried)
    assert table['all words'].between(0, 1).all()


def test_runs_are_kept_once(tmp_path, table):
    path = tmp_path / 'table.csv'
    keep_runs(table.head(6), path)
    keep_runs(table.iloc[3:9], path)
    assert len(path.read_text().splitlines()) == 1 + 9
