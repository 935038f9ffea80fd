"""Checkpoints that run code, are damaged, or hold something else: made by code."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from mmengine.logging import HistoryBuffer
from torch import nn

NOT_CHECKPOINTS = (b'', bytes(1000), b'not a checkpoint')


class Attack:
    """Makes the folder that it was given when it is unpickled."""

    def __init__(self, folder: Path):
        self.folder = str(folder)

    def __reduce__(self) -> tuple[Callable, tuple[str]]:
        return os.mkdir, (self.folder,)


class Steals:
    """Unpickles to ``HistoryBuffer.__init__`` by ``getattr``, the first step to any code."""

    def __reduce__(self) -> tuple[Callable, tuple[type, str]]:
        return getattr, (HistoryBuffer, '__init__')


def config_that_runs(folder: Path, text: str = '') -> str:
    """Make the text of a config that makes a folder when it is run."""
    return f'{text}import os\nos.mkdir({str(folder)!r})\n'


def sound() -> dict:
    """Make the content of a whole checkpoint of one linear layer: 12 kB of weights."""
    torch.manual_seed(0)
    return dict(state_dict=nn.Linear(60, 50).state_dict(), meta=dict(epoch=3, iter=6))


def flipped(data: bytes, count: int, part: bytes | None = None, seed: int = 0) -> Iterator[bytes]:
    """Change one bit, ``count`` times at other places.

    Args:
        data: The whole file.
        count: How many damaged files to make.
        part: Change only these bytes of the file, such as those of a weight. Default None, all.
        seed: Of the places.
    """
    draw = random.Random(seed)
    begin, length = (data.index(part), len(part)) if part else (0, len(data))
    for _ in range(count):
        changed = bytearray(data)
        changed[begin + draw.randrange(length)] ^= 1 << draw.randrange(8)
        yield bytes(changed)


def truncated(data: bytes, count: int) -> Iterator[bytes]:
    """Cut the file off, at ``count`` places from its beginning on."""
    for number in range(count):
        yield data[: len(data) * number // count]


def holes(data: bytes, places: range, size: int = 64) -> Iterator[bytes]:
    """Write zeros over ``size`` bytes at each of the places."""
    for at in places:
        yield data[:at] + bytes(size) + data[at + size :]


def renamed(weights: dict, prefix: str = 'other.') -> dict:
    """Give the weights the names of another network."""
    return {f'{prefix}{name}': value for name, value in weights.items()}


def without_numbers(weights: dict, name: str, value: float = float('nan')) -> dict:
    """Give the weights with one number that is none."""
    changed = weights[name].clone()
    changed.view(-1)[-1] = value
    return {**weights, name: changed}


def checkpoints(folder: Path, made: Path) -> dict[str, Path]:
    """Write one checkpoint of each kind into a folder.

    Args:
        folder: An existing folder.
        made: What the malicious ones make if they are run.

    Returns:
        What each is, and its file.
    """
    content = sound()
    torch.save(content, folder / 'sound.pth')
    data, weights = (folder / 'sound.pth').read_bytes(), content['state_dict']
    held = {
        'a pickle that runs code': {**content, 'more': Attack(made)},
        'a pickle that runs code, as weights': {'state_dict': Attack(made)},
        'a pickle that looks up a private attribute': {**content, 'more': Steals()},
        'a config inside that runs code': {**content, 'meta': dict(config=config_that_runs(made))},
        'a weight that is NaN': {'state_dict': without_numbers(weights, 'bias')},
        'the weights of another network': {'state_dict': renamed(weights)},
        'a state dict that is a list': {'state_dict': [1, 2]},
    }
    written = {
        'a changed bit in a weight': next(flipped(data, 1, weights['weight'].numpy().tobytes())),
        'the half of a file': data[: len(data) // 2],
        'a file without its last bytes': data[:-100],
        'a hole of zeros': next(holes(data, range(4000, 4001))),
        'an empty file': NOT_CHECKPOINTS[0],
        'a file of zeros': NOT_CHECKPOINTS[1],
        'a text': NOT_CHECKPOINTS[2],
    }
    paths = {name: folder / f'{i}.pth' for i, name in enumerate([*held, *written])}
    for name, value in held.items():
        torch.save(value, paths[name])
    for name, value in written.items():
        paths[name].write_bytes(value)
    return paths
