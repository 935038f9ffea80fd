"""Random numbers that depend on what they are for, and on nothing that was drawn before."""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator

import numpy as np
import torch

Draw = tuple[int, int, int]  # seed, pass over the data, index


def _seeds(key: tuple[object, ...]) -> np.ndarray:
    """Eight numbers of 32 bits for a key."""
    digest = hashlib.sha256(':'.join(map(str, key)).encode()).digest()
    return np.frombuffer(digest, '<u4')


def seed_everything(*key: object) -> None:
    """Seed random, numpy and torch on all devices, each by a number of its own.

    One number for all would give numpy and torch, which use the same generator, the same draws.

    Args:
        *key: What the draws are for, such as a word, a seed and an iteration.
    """
    _seed_cpu(key)
    torch.manual_seed(int(_seeds(key)[1]))


@contextlib.contextmanager
def seeded(*key: object) -> Iterator[None]:
    """Seed random, numpy and torch (on the CPU) for a block, and put their states back after it.

    Args:
        *key: What the draws are for, such as a word, a seed and an index.
    """
    ours, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002 - transforms use it
    with torch.random.fork_rng(devices=[]):
        try:
            _seed_cpu(key)
            yield
        finally:
            random.setstate(ours)
            np.random.set_state(numpys)  # noqa: NPY002


def _seed_cpu(key: tuple[object, ...]) -> None:
    seeds = _seeds(key)
    random.seed(int(seeds[0]))
    torch.default_generator.manual_seed(int(seeds[1]))
    np.random.seed(seeds[2:6])  # noqa: NPY002 - transforms draw from the global generator
