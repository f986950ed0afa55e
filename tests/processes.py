"""Processes for tests. Nothing waits without a limit, and what a test starts is surely ended."""

import os
import signal
import subprocess
import time
from contextlib import contextmanager

import pytest

# A shell starts what runs in the background deaf to Ctrl-C, and children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def time_limit():
    "No test takes more than three minutes, whatever it waits for"

    def late(*args):
        raise TimeoutError('the test took more than three minutes')

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(180)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def end(
    p: subprocess.Popen,  # The first of its process group
):
    "Kill a process and all of its group; no process can be deaf to SIGKILL"
    try:
        os.killpg(p.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    p.wait(timeout=30)
    for pipe in (p.stdin, p.stdout, p.stderr):
        if pipe:
            pipe.close()


@contextmanager
def running(
    *args,  # Program and arguments
    **kwargs,  # As `Popen` takes them
):
    "A process in a group of its own, which is killed with its children when the block is left"
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    p = subprocess.Popen([*map(str, args)], **{**pipes, **kwargs}, start_new_session=True)
    try:
        yield p
    finally:
        end(p)


def call(
    *args,  # Program and arguments
    timeout: float = 120,  # Seconds until it is killed
    **kwargs,  # As `Popen` takes them
) -> subprocess.CompletedProcess:
    "Run a program to its end; `TimeoutExpired` if that takes too long"
    with running(*args, **kwargs) as p:
        out, err = p.communicate(timeout=timeout)
    return subprocess.CompletedProcess(args, p.returncode, out, err)


def wait_for(
    what,  # A function; waiting ends when it gives something true
    seconds: float = 60,  # At most
):
    "What `what` gives at last; `AssertionError` if it takes too long"
    until = time.monotonic() + seconds
    while not (got := what()):
        assert time.monotonic() < until, 'waited in vain'
        time.sleep(0.02)
    return got
