"""What mistakes of mutants.yaml showed to be looked at by no other test."""

import math
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import nn

import rnnlm.replicate.experiment as engine
from rnnlm import table3
from rnnlm.ablation import compare, finals, ledger, share_wrong
from rnnlm.architectures import AnyRNN, dls_for, identity, kinds, orthogonal, relu, tanh
from rnnlm.chaos import growth
from rnnlm.chapter import as_run, chapter_learner
from rnnlm.commands import look_after, stop_early
from rnnlm.cpu_dropout import mcg31, modulus
from rnnlm.data import human_numbers, human_numbers_dls, make_vocab, numericalize, tokenize
from rnnlm.digits import agreement, begin_at
from rnnlm.errors import by_role, predictions, roles_of
from rnnlm.generation import continue_text
from rnnlm.generator import at_state
from rnnlm.mistakes import false_alarms_elsewhere, refused
from rnnlm.performance import bare_fit, compared, cycle, interleaved
from rnnlm.playground import export_weights, go_on, true_next
from rnnlm.readers import measured, nearest
from rnnlm.replicate.experiment import Experiment, study
from rnnlm.replicate.judge import Norm, bounds, held_out_scores, moved, tail_bound
from rnnlm.replicate.report import draw_band, shades
from rnnlm.replicate.store import Run, Store, curves_of, flat
from rnnlm.rnn import LMModel5
from rnnlm.tables import curves, n_valid, published, reader, reference, stored
from rnnlm.weight_tying import LMModel7

models = ['LMModel4', 'LMModel5', 'LMModel6', 'LMModel7']


# ablation


def test_comparing_two_models():
    "Welch's interval, written out; a tie counts as the opposite"
    a, b = np.array([1.0, 2.0, 3.0, 5.0]), np.array([0.0, 2.0, 2.0])
    assert share_wrong(a, b) == 4 / 12
    found = compare(a, b, 0.9, n=50)
    assert found['wrong'] == 4 / 12
    assert found['difference'] == pytest.approx(2.75 - 4 / 3)
    parts = [o.var(ddof=1) / len(o) for o in (a, b)]
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / 3 + parts[1] ** 2 / 2)
    reach = stats.t.ppf(0.95, freedom) * math.sqrt(sum(parts))
    assert found['high'] - found['difference'] == pytest.approx(reach)
    assert found['difference'] - found['low'] == pytest.approx(reach)


def test_a_ledger_is_sure_of_all_arms_together():
    table = ledger()
    assert len(table) == 13
    pair = finals('LMModel7: no dropout'), finals('LMModel7')
    alone, together = compare(*pair, n=1), compare(*pair, 1 - 0.05 / 12, n=1)
    assert table.low['no dropout'] == pytest.approx(together['low'])
    assert together['low'] < alone['low']


# architectures


def test_first_weights_of_recurrent_layers():
    torch.manual_seed(0)
    for layer in orthogonal(8, 2).all_weights:
        products = [w.detach() @ w.detach().T for w in layer[:2]]
        assert torch.allclose(products[1], torch.eye(8), atol=1e-5)
        assert not torch.allclose(products[0], torch.eye(8), atol=1e-1)
    for layer in identity(8, 2).all_weights:
        assert torch.equal(layer[1], torch.eye(8))
        assert not layer[2].any() and not layer[3].any()
    assert [f(8, 1).nonlinearity for f in (tanh, orthogonal)] == ['tanh', 'tanh']
    assert [f(8, 1).nonlinearity for f in (relu, identity)] == ['relu', 'relu']


def test_what_is_held_out():
    "The end of the text that the chapter trains on, and nothing of what it validates on"
    tokens = tokenize(human_numbers())
    nums = numericalize(tokens, make_vocab(tokens))
    rows = int(0.8 * len(nums)) // 16
    cut = 16 * int(0.8 * rows)
    dls = dls_for('held out')
    first = [next(iter(dl))[0][0].tolist() for dl in dls]
    assert first == [nums[:16].tolist(), nums[cut : cut + 16].tolist()]
    n_words = [sum(xb.numel() for xb, _ in dl) for dl in dls]
    assert n_words[0] <= cut and n_words[1] <= 16 * rows - cut
    assert n_words[1] > 16 * rows - cut - 64 * 16


@pytest.mark.parametrize('kind', kinds)
def test_any_layer_carries_its_state(kind):
    torch.manual_seed(0)
    model, x = AnyRNN(30, 8, 2, kind), torch.randint(0, 30, (3, 10))
    whole = model(x)
    model.reset()
    pieces = torch.cat([model(x[:, :4]), model(x[:, 4:])], 1)
    assert torch.allclose(whole, pieces, atol=1e-5)


# chapter


def test_a_run_has_the_epochs_0_to_14():
    table = published('LMModel5')
    assert len(as_run(table)) == 15
    for wrong in (table.assign(epoch=range(1, 16)), table[:14], table[:0]):
        with pytest.raises(ValueError, match='^run: the printed tables have epochs 0 to 14'):
            as_run(wrong)


@pytest.mark.parametrize('model', models)
def test_each_pass_over_a_text_begins_with_zeros(model):
    "The state is carried within a pass, and from none to the next"
    dls = human_numbers_dls(n=1100, bs=16, device='cpu')
    learn, seen = chapter_learner(model, dls), []

    def look(module, args):
        seen.append((module.training, module.h is None))

    learn.model.register_forward_pre_hook(look)
    with learn.no_bar(), learn.no_logging():
        learn.fit(2, 1e-3)
    passes = []
    for n, training in ((len(dls.train), True), (len(dls.valid), False)):
        assert n > 1
        passes += [(training, True)] + [(training, False)] * (n - 1)
    assert seen == 2 * passes
    assert learn.model.h is None


# chaos


def test_growth_ends_with_the_first_distance_that_is_full():
    table = pd.DataFrame(dict(distance=[1e-8, 1e-6, 1e-1, 1e-1]))
    assert growth(table) == pytest.approx(10**3.5)


# commands


def test_when_a_study_is_looked_at():
    expected = {1: [1], 2: [1, 2], 3: [1, 2, 3], 4: [1, 2, 4], 9: [1, 2, 4, 9]}
    assert {n: look_after(n) for n in expected} == expected


def test_no_look_before_every_model_is_there():
    both = {}
    for model in ('LMModel5', 'LMModel6'):
        runs = reference(model)
        both[model] = runs[runs.seed == 1000].assign(experiment=model)
    wrong = both['LMModel5'].assign(valid_loss=9.0)
    stop = stop_early(list(both), [1000, 1001], 1e-3)
    assert stop(wrong) == 0
    assert stop(pd.concat([wrong, both['LMModel6']])) == 1


# cpu_dropout


def test_no_seed_is_a_fixed_point_of_mcg31():
    "0 would be followed by 0 for ever, so MKL takes 1 in its place"
    for start in (0, modulus):
        assert mcg31(start, 5).tolist() == mcg31(1, 5).tolist()


# digits


def test_a_difference_has_no_sign():
    printed = published('LMModel5')
    for by in (0.5, -0.5):
        run = printed.assign(valid_loss=printed.valid_loss + by)
        assert agreement(run, printed).difference.tolist() == pytest.approx([0.5] * 15)


def test_a_learner_begins_at_its_own_seed():
    def make_learner():
        learn = SimpleNamespace(state=torch.get_rng_state())
        learn.add_cb = lambda cb: learn
        return learn

    for seed in (7, 42):
        at_state(5, seed)
        there = torch.get_rng_state()
        assert torch.equal(begin_at(5, make_learner, seed=seed).state, there)


# errors


def test_roles():
    text = 'one . two thousand three hundred eleven . nine thousand fifty four .'
    assert dict(enumerate(roles_of(text.split()))) == {
        0: 'units',
        1: 'dot',
        2: 'thousands digit',
        3: 'thousand, hundred',
        4: 'hundreds digit',
        5: 'thousand, hundred',
        6: 'tens',
        7: 'dot',
        8: 'thousands digit',
        9: 'thousand, hundred',
        10: 'tens',
        11: 'units',
        12: 'dot',
    }


def test_predictions_are_those_of_the_text():
    "Row by row, from zeros, whatever the model read before; it is left as it was"
    torch.manual_seed(0)
    dl = human_numbers_dls(n=1100, bs=8, device='cpu').valid
    model = LMModel5(len(dl.vocab), 8, 1)
    first = predictions(model, dl)
    rows = [torch.cat([yb[i] for _, yb in dl]) for i in range(8)]
    assert len(rows[0]) > 16
    assert first.word.tolist() == [dl.vocab[i] for row in rows for i in row]
    model(dl.one_batch()[0])
    state = model.h
    pd.testing.assert_frame_equal(predictions(model, dl), first, check_exact=True)
    assert model.training and model.h is state


def test_shares_by_role():
    frame = pd.DataFrame(
        dict(
            word=['.', 'two', 'two', 'two'],
            predicted=['.', 'two', 'one', 'one'],
            loss=[3.0, 1.0, 1.0, 1.0],
            role=['dot', 'units', 'units', 'units'],
        )
    )
    table = by_role(frame)
    assert table.index.tolist() == ['units', 'dot', 'all words']
    assert table.share.tolist() == [0.75, 0.25, 1]
    assert table.accuracy.tolist() == [1 / 3, 1, 0.5]
    assert table.share_of_loss.tolist() == [0.5, 0.5, 1]


# generation


class Alphabet(nn.Module):
    "After each word comes the next of the vocabulary, by one nat likelier than any other"

    def __init__(self, n):
        super().__init__()
        self.n = nn.Parameter(torch.tensor(float(n)))

    def reset(self):
        pass

    def forward(self, ids):
        n = int(self.n)
        return nn.functional.one_hot((ids + 1) % n, n).float()


@pytest.mark.parametrize('training', [True, False])
def test_a_text_goes_on(training):
    model = Alphabet(5).train(training)
    assert continue_text(model, 'a b c d e'.split(), 'a c', 3) == 'd e a'
    assert model.training == training


def test_a_temperature():
    "A low one leaves no choice, a high one all"
    torch.manual_seed(0)
    vocab = 'a b c d e'.split()
    cold = continue_text(Alphabet(5), vocab, 'e', 50, 0.02)
    assert cold.split() == vocab * 10
    hot = continue_text(Alphabet(5), vocab, 'e', 50, 50.0)
    assert hot.split() != vocab * 10


# mistakes


def test_a_run_is_refused_once():
    "For a number that is far off, for a pattern that is, or for a `NaN`"
    norm = Norm(flat(reference('LMModel5'), curves))
    pattern = norm.mean + 2.5 * norm.sd * (-1.0) ** np.arange(len(norm.mean))
    far, gap = norm.mean.copy(), norm.mean.copy()
    far[3] += 100 * norm.sd[3]
    gap[3] = np.nan
    rows = np.stack([norm.mean, norm.mean + norm.sd / 9, pattern, far, gap])
    assert refused(rows, 'LMModel5', 1) == 3 / 5


def test_false_alarms_elsewhere():
    assert false_alarms_elsewhere('LMModel5') < 0.05


# performance


def test_times_take_turns():
    "The first round is not counted, and each begins with another function"
    called = []
    fs = {o: lambda o=o: called.append(o) for o in 'abc'}
    times = interleaved(fs, 3)
    assert ''.join(called) == 'abc' 'bca' 'cab' 'abc'
    assert times.shape == (3, 3) and list(times) == ['a', 'b', 'c']


def test_times_are_compared():
    times = pd.DataFrame(dict(a=[1.0, 2.0, 3.0], b=[2.0, 4.0, 9.0]))
    base, other = compared(times, 'a', 'seconds', model='m')
    assert base == dict(model='m', what='a', over='a', median=1, low=1, high=1, seconds=2)
    assert other == dict(model='m', what='b', over='a', median=2, low=2, high=3, seconds=4)


@pytest.mark.parametrize('model, loss', [('LMModel5', 'train_loss'), ('LMModel7', 'plain_loss')])
def test_a_bare_loop_trains_alike(model, loss):
    dls = human_numbers_dls(n=1100, bs=32, device='cpu')
    _, rows = bare_fit(model, dls, 3)
    recorder = cycle(model, dls, 3).recorder
    names = recorder.metric_names[1:-1]
    theirs = pd.DataFrame([[float(x) for x in o] for o in recorder.values], columns=names)
    wanted = theirs[[loss, 'valid_loss', 'accuracy']].to_numpy()
    assert np.allclose(rows, wanted, rtol=0, atol=1e-5)


# playground

last = 'nine thousand nine hundred ninety'


@pytest.mark.parametrize(
    'text, word',
    [
        ('', None),
        ('one', '.'),
        ('one .', 'two'),
        ('one . two .', 'three'),
        ('one . three', None),
        ('thousand', None),
        ('one hundred', '.'),
        ('one hundred . one', 'hundred'),
        (f'{last} seven . {last} eight', '.'),
        (f'{last} eight . {last}', 'nine'),
        (f'{last} eight . {last} nine', None),
        (f'{last} nine .', None),
    ],
)
def test_the_true_next_word(text, word):
    assert true_next(text.split()) == word


class Says(nn.Module):
    "A model that says what it is told to say"

    def __init__(self, ids):
        super().__init__()
        self.ids = list(ids)

    def reset(self):
        pass

    def forward(self, x):
        logits = torch.zeros(1, x.shape[1], 30)
        logits[0, -1, self.ids.pop(0)] = 9.0
        return logits, None, None


def test_a_count_that_went_wrong():
    "Nothing is true any more until the next number begins, which follows from what was said"
    vocab = human_numbers_dls(n=1100, bs=8, device='cpu').vocab
    said = ['three', 'hundred', '.', 'three', 'hundred']
    table = go_on(Says(numericalize(said, vocab)), vocab, ['one', '.'], 5)
    assert table.word.tolist() == said
    assert table.true.tolist() == ['two', None, None, 'three', 'hundred']
    assert table.ok.tolist() == [False, None, None, True, True]


def test_a_vocabulary_of_another_size(tmp_path):
    words = list('abc')
    model = LMModel7(3, 4, 1, 0.0)
    for vocab in (words[:2], [*words, 'd']):
        with pytest.raises(ValueError, match=f'^vocab: the model has 3 words, not {len(vocab)}$'):
            export_weights(model, vocab, tmp_path / 'm.js')
    for n in (0, 1001):
        with pytest.raises(ValueError, match=f'^words: 1 to 1,000 are needed, not {n:,}$'):
            go_on(model, words, ['a'] * n, 1)


# readers


def test_how_far_a_table_comes_back():
    "As far as its first row that does not"
    printed = published('LMModel5')
    run = printed.copy()
    run.loc[3, 'train_loss'] += 1
    found = measured(run, printed)
    assert found['epochs_4_digits'] == 3 and found['equal'] == 44
    assert found['first_row_difference'] == 0 == found['last_accuracy_difference']


def test_the_nearest_row():
    "By the worst of its numbers"
    tried = np.array([[0.0, 0.0, 1.0], [0.2, 0.1, 0.1]])
    assert nearest(np.array([[0.0, 0.0, 0.0]]), tried).tolist() == [0.2]


# table3


def test_the_first_loss_is_the_stored_one():
    tried = stored('search.csv.gz').iloc[1]
    assert table3.first_loss(int(tried.n)) == pytest.approx(tried.loss, abs=1e-4)


def test_one_model_and_two_models():
    "The names of the blocks of states"
    names = ' '.join(table3.candidates())
    assert ': 1 model, ' in names and ': 2 models, ' in names
    assert '1 models' not in names and '2 model,' not in names


def test_a_search_resumes(tmp_path, monkeypatch):
    asked = []

    def first_loss(n):
        asked.append(n)
        return n / 8

    monkeypatch.setattr(table3, 'first_loss', first_loss)
    monkeypatch.setattr(table3, 'candidates', lambda: {'few': [3, 1], 'more': [1, 2]})
    path = tmp_path / 'search.csv.gz'
    for _ in range(2):
        table3.search(path)
        assert [o.name for o in tmp_path.iterdir()] == [path.name]
    assert asked == [3, 1, 2]
    assert pd.read_csv(path).to_numpy().tolist() == [[1, 0.125], [2, 0.25], [3, 0.375]]


def test_a_loss_is_looked_up():
    tried = stored('search.csv.gz')
    middle = tried.loss.median()
    found = table3.look_up(middle, 1e-3)
    assert 0 < len(found) < len(tried) / 10
    assert ((found.loss - middle).abs() < 1e-3).all()


# tables


@pytest.mark.parametrize('model', models)
def test_printed_accuracies_are_whole_counts(model):
    "Of the chapter's 12,288 predictions, up to the sixth digit"
    counts = published(model).accuracy * n_valid
    assert (counts - counts.round()).abs().max() < n_valid * 1e-6


def test_a_reader_left_one_table():
    for model in models:
        assert reader(model, 1).epoch.tolist() == list(range(15))


# weight_tying


def test_words_are_predicted_from_what_dropout_leaves():
    torch.manual_seed(0)
    model = LMModel7(30, 8, 1, 0.4)
    logits, raw, out = model(torch.randint(0, 30, (4, 6)))
    assert (out == 0).any() and not (raw == 0).any()
    assert torch.equal(logits, model.h_o(out))


# experiment


def test_workers_that_die_now_and_then(tmp_path, monkeypatch):
    "Three deaths are no reason to give up, if runs are finished in between"
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    real, dead = engine.one_run, set()

    def dies(experiment, seed, *args):
        if seed % 2 and seed not in dead:
            dead.add(seed)
            raise TerminatedWorkerError()
        return real(experiment, seed, *args)

    def train(seed):
        return pd.DataFrame(dict(loss=[float(seed)]))

    monkeypatch.setattr(engine, 'one_run', dies)
    runs = study(Experiment('mortal', train), 8, tmp_path, backend='sequential')
    assert runs.loss.tolist() == list(range(8)) and dead == {1, 3, 5, 7}


# judge


def test_two_scores_share_the_alarm():
    rows = np.random.default_rng(0).normal(size=(100, 6))
    expected = [tail_bound(o, 0.005) for o in held_out_scores(rows, 2)]
    assert bounds(rows, 2, 0.01).tolist() == expected


def test_the_bound_of_a_known_tail():
    "Of Pareto's distribution, whose tail is a power law and nothing else"
    scores = np.random.default_rng(0).pareto(3, 200_000) + 1
    for rate in (0.1, 1e-3):
        assert tail_bound(scores, rate) == pytest.approx(rate ** (-1 / 3), rel=0.05)


def test_a_norm_is_uncertain_itself():
    "Its mean is one of 50 runs only"
    norm = Norm(np.random.default_rng(0).normal(size=(50, 3)))
    for k in (1, 4):
        z = norm.z(norm.mean + norm.sd, k)
        assert z == pytest.approx((1 / k + 1 / 50) ** -0.5)


def noise(n, first, epochs=3):
    "Runs of chance alone"
    rows = []
    for seed in range(first, first + n):
        rng = np.random.default_rng(seed)
        for epoch in range(epochs):
            rows.append(dict(seed=seed, epoch=epoch, loss=rng.random(), score=rng.random()))
    return pd.DataFrame(rows)


def test_all_metrics_share_the_level():
    runs, held = noise(16, 1000), noise(60, 0)
    p = moved(runs, held).p.min()
    assert not moved(runs, held, 1.5 * p).moved.any()
    assert moved(runs, held, 2.5 * p).moved.any()


# report


def test_bands_hold_their_share_of_runs():
    "The widest is drawn first, and each holds as many whole runs as it says"
    held = noise(200, 0)
    ax = plt.subplots()[1]
    draw_band(held, 'loss', ax)
    boxes = [o.get_paths()[0].get_extents() for o in ax.collections]
    labels = [o.get_label() for o in ax.collections]
    assert labels == [f'{o:.0%} of 200 runs' for o in shades]
    assert boxes[0].height > boxes[1].height > boxes[2].height
    table = curves_of(held, 'loss')
    widest = ax.collections[0].get_paths()[0].vertices
    inside = True
    for epoch in table:
        edge = widest[widest[:, 0] == epoch, 1]
        inside &= table[epoch].between(edge.min(), edge.max())
    assert 0.98 <= inside.mean() <= 1
    plt.close(ax.figure)


@pytest.mark.parametrize('lift, floor', [(0, 0), (-0.5, None)])
def test_no_band_of_losses_goes_below_zero(lift, floor):
    "Where the runs lie close to zero; what can be negative, such as a gain, keeps its whole band"
    held = noise(60, 0)
    held['loss'] = 3 * held.loss**4 + lift
    ax = plt.subplots()[1]
    draw_band(held, 'loss', ax)
    lowest = min(o.get_paths()[0].get_extents().y0 for o in ax.collections)
    plt.close(ax.figure)
    if floor is None:
        assert lowest < held.loss.min()
    else:
        assert lowest == floor


# store


def test_the_first_of_two_runs_is_kept(tmp_path):
    store = Store(tmp_path)
    first, second = (Run('coin', '1', 'torch', 0, dict(loss=[x])) for x in (1.0, 2.0))
    assert store.add(first) is True
    assert store.add(second) is False
    assert [o.curves for o in store.load()] == [dict(loss=[1.0])]


def test_an_epoch_twice():
    runs = noise(2, 0)
    twice = runs.assign(epoch=[0, 1, 1, 0, 1, 1])
    with pytest.raises(ValueError, match='^runs: each seed needs the same epochs, each of them'):
        curves_of(twice, 'loss')
