"""What low precision can do here, for tests."""

import pytest
import torch
from torch import nn


def has_bfloat16_lstm():
    "Does PyTorch's LSTM run in bfloat16? Not where oneDNN is told to do without AVX-512"
    with torch.autocast('cpu', torch.bfloat16):
        try:
            nn.LSTM(2, 2, batch_first=True)(torch.zeros(1, 1, 2))
        except RuntimeError:
            return False
    return True


needs_bfloat16_lstm = pytest.mark.skipif(
    not has_bfloat16_lstm(), reason="PyTorch's LSTM can't run in bfloat16 here"
)


@pytest.fixture(autouse=True)
def full_precision():
    "A test that fails within autocast leaves it on; this turns it off for the next"
    yield
    torch.set_autocast_enabled('cpu', False)
