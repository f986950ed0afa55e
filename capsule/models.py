"""The chapter's models and its training calls, for fastai2 0.0.11: see run.py.

Each model draws its weights in the order embedding, recurrent, output, as the chapter's do.
"""

import sys
from collections import namedtuple
from types import ModuleType

# fastai2 imports these packages, but only calls them to split text into words and in notebooks.
# Empty ones stand in for them, and save us some thirty packages.
STAND_INS = {
    'spacy': [],
    'spacy.symbols': ['ORTH'],
    'ipykernel': [],
    'IPython': [],
    'IPython.core': [],
    'IPython.core.debugger': ['set_trace'],
}
for module, names in STAND_INS.items():
    sys.modules[module] = ModuleType(module)
    for name in names:
        setattr(sys.modules[module], name, None)

import torch
from fastai2.basics import CrossEntropyLossFlat, DataLoaders, Learner, accuracy
from fastai2.callback import schedule  # noqa: F401, gives Learner its fit_one_cycle
from fastai2.callback.rnn import ModelReseter
from fastai2.text.learner import TextLearner
from torch import nn
from torch.nn import functional as F


class LMModel4(nn.Module):
    "One layer of ReLU units, in a loop over time"

    def __init__(self, words, hidden):
        super().__init__()
        self.embedding = nn.Embedding(words, hidden)
        self.recurrent = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, words)

    def reset(self):
        self.state = 0

    def forward(self, x):
        logits = []
        for step in range(x.shape[1]):
            self.state = self.state + self.embedding(x[:, step])
            self.state = F.relu(self.recurrent(self.state))
            logits.append(self.output(self.state))
        self.state = self.state.detach()
        return torch.stack(logits, dim=1)


class LMModel5(nn.Module):
    "Two layers of tanh units"

    network = nn.RNN

    def __init__(self, words, hidden):
        super().__init__()
        self.embedding = nn.Embedding(words, hidden)
        self.recurrent = self.network(hidden, hidden, 2, batch_first=True)
        self.output = nn.Linear(hidden, words)

    def reset(self):
        self.state = None

    def carry_over(self, state):
        self.state = state.detach()

    def forward(self, x):
        raw, state = self.recurrent(self.embedding(x), self.state)
        self.carry_over(state)
        return self.output(raw)


class LMModel6(LMModel5):
    "Two layers of LSTM cells, which have two states"

    network = nn.LSTM

    def carry_over(self, state):
        self.state = tuple(o.detach() for o in state)


class MKLDropout(nn.Module):
    """Dropout with the mask that Intel's MKL draws, on any processor

    On an Intel processor torch lets MKL draw its masks, elsewhere it draws them itself. So we
    compute what MKL's generator, MCG31m1, gives: each number is the one before times
    1132489760, modulo 2**31 - 1. The first one comes from torch's generator.
    """

    multiplier = 1132489760
    modulus = 2**31 - 1

    def __init__(
        self,
        p,  # Share of activations that become zero
        size,  # Most activations in a call
    ):
        super().__init__()
        self.keep = 1 - p
        powers = [1]
        for _ in range(size - 1):
            powers.append(powers[-1] * self.multiplier % self.modulus)
        self.powers = torch.tensor(powers)

    def forward(self, x):
        if not self.training:
            return x
        first = int(torch.empty(1, dtype=torch.long).random_(0, 2**32 - 1)) % self.modulus
        numbers = self.powers[: x.numel()] * first % self.modulus
        mask = (numbers.double() / self.modulus < self.keep).float().view(x.shape)
        return x * mask.div_(self.keep)


class LMModel7(LMModel6):
    "LMModel6 with dropout, as in the authors' draft: the output layer is not tied yet"

    def __init__(self, words, hidden):
        super().__init__(words, hidden)
        self.dropout = MKLDropout(0.4, 64 * 16 * hidden)

    def forward(self, x):
        raw, state = self.recurrent(self.embedding(x), self.state)
        self.carry_over(state)
        dropped = self.dropout(raw)
        return self.output(dropped), raw, dropped


# The chapter's tables and those of the authors' draft of 2020-02-12, which are in draft.csv.
# `drawn`: how many numbers torch's generator, seeded with 42, had given when the model was made.
# `threads`: with how many the table comes back; one of the draft's was made with six.
Table = namedtuple('Table', 'model rate drawn threads')
TABLES = {
    'LMModel4': Table(LMModel4, 3e-3, 16_094, 1),
    'LMModel5': Table(LMModel5, 3e-3, 20_570, 1),
    'LMModel6': Table(LMModel6, 1e-2, 41_140, 1),
    'draft LMModel4': Table(LMModel4, 3e-3, 24_164, 6),
    'draft LMModel5': Table(LMModel5, 3e-3, 0, 1),
    'draft LMModel6': Table(LMModel6, 1e-2, 20_570, 1),
    'draft LMModel7': Table(LMModel7, 1e-2, 356_125, 1),
}


def group_chunks(
    rows,  # Sequences in the order of the text
    bs,  # Batch size
):
    "Rows in such an order that row `j` of each batch of `bs` continues row `j` of the last one"
    n = len(rows) // bs
    return [rows[i + n * j] for i in range(n) for j in range(bs)]


def chapter_loaders(
    words,  # The corpus
    sl=16,  # Sequence length
    bs=64,  # Batch size
):
    "The chapter's batches, and the number of distinct words"
    vocab = {word: i for i, word in enumerate(dict.fromkeys(words))}
    ids = torch.tensor([vocab[word] for word in words])
    rows = [(ids[i : i + sl], ids[i + 1 : i + sl + 1]) for i in range(0, len(ids) - sl - 1, sl)]
    cut = int(len(rows) * 0.8)
    parts = [group_chunks(part, bs) for part in (rows[:cut], rows[cut:])]
    dls = DataLoaders.from_dsets(*parts, bs=bs, drop_last=True, shuffle=False)
    return dls, len(vocab)


def fit(
    table,  # One of `TABLES`
    words,  # The corpus
    epochs,  # The chapter trains for 15
    threads,  # For torch and MKL
    report,  # Called after each epoch with its number, the two losses and the accuracy
):
    "Train a model as the chapter did, from the same state of torch's generator"
    torch.set_num_threads(threads)
    dls, n_words = chapter_loaders(words)
    torch.manual_seed(42)
    torch.rand(table.drawn)
    # Nothing may draw before the weights do.
    model = table.model(n_words, 64)
    options = dict(loss_func=CrossEntropyLossFlat(), metrics=accuracy)
    if table.model is LMModel7:
        # Its first two parameters are named `model, dls`, and go in that order to a class that
        # names them `dls, model`. By position, as in the chapter, all is well.
        learn = TextLearner(dls, model, **options)
    else:
        learn = Learner(dls, model, cbs=ModelReseter, **options)
    learn.logger = lambda log: report(*log[:4])
    learn.fit_one_cycle(epochs, table.rate)
