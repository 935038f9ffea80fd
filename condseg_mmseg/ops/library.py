"""Loads the library of the op, ``_outlook.so``, which ``setup.py`` compiles from ``csrc``.

It holds the same source for several instruction sets and takes the best that the CPU has, so that
an installation can be shared between machines. PyTorch must be imported before it is loaded: its
OpenMP runtime is the library's too.
"""

import ctypes
import functools
import hashlib
import logging
import os
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import torch  # noqa: F401 - brings the OpenMP runtime

LIBRARY = Path(__file__).with_name('_outlook.so')
SWITCH_VARIABLE = 'CONDSEG_MMSEG_NATIVE'
VARIANTS = ('baseline', 'avx2', 'avx512')

_CHECKOUT = Path(__file__).resolve().parents[2]
# with --no-cache-dir, as pip's cache may hold a wheel without the library
_PIP = 'pip install --force-reinstall --no-deps --no-cache-dir '
if (_CHECKOUT / 'setup.py').is_file():  # an editable installation
    COMMAND = f'{_PIP}-e {shlex.quote(str(_CHECKOUT))}'
else:
    COMMAND = f'{_PIP}.   (in a checkout of the repository)'


def _declare(lib: ctypes.CDLL) -> ctypes.CDLL:
    pointers: list[Any] = [ctypes.c_void_p] * 5
    sizes: list[Any] = [*[ctypes.c_long] * 4, ctypes.c_int, ctypes.c_float, *[ctypes.c_int] * 2]
    lib.condseg_outlook_forward.argtypes = pointers[:3] + sizes
    lib.condseg_outlook_backward.argtypes = pointers + sizes
    lib.condseg_outlook_variant.argtypes = [ctypes.c_char_p]
    lib.condseg_outlook_variant.restype = ctypes.c_char_p
    return lib


def choose_variant(lib: ctypes.CDLL, name: str | None = None) -> str:
    """Make the library use a variant from now on, in every thread.

    Args:
        lib: The library.
        name: One of :data:`VARIANTS`. Default None, the best that the CPU has.

    Returns:
        The name of the variant.

    Raises:
        ValueError: The library or the CPU does not have it.
    """
    chosen = lib.condseg_outlook_variant(name.encode() if name else None)
    if chosen is None:
        known = [x for x in VARIANTS if lib.condseg_outlook_variant(x.encode())]
        raise ValueError(f'the variant of the native form must be one of {known}, got {name!r}')
    return chosen.decode()


def _literal(values: np.ndarray, logits: np.ndarray, k: int) -> np.ndarray:
    """The definition with loops over a, b and q; values (d, H, W), logits (k^2, k^2, H, W)."""
    attn = np.exp(logits)
    attn /= attn.sum(1, keepdims=True)
    r, (_, height, width) = k // 2, values.shape
    padded = np.pad(values, ((0, 0), (r, r), (r, r)))
    out = np.zeros_like(padded)
    for ay, ax, by, bx in np.ndindex(k, k, k, k):
        source = padded[:, by : by + height, bx : bx + width]
        weight = attn[ay * k + ax, by * k + bx]
        out[:, ay : ay + height, ax : ax + width] += weight * source
    return out[:, r : r + height, r : r + width]


def _self_test(lib: Any) -> bool:
    """Whether a tiny case comes out right. NumPy, as PyTorch may be tracing or on another device.

    The forward equals the definition, both gradients its directional derivatives.
    """
    rng, k, (d, height, width) = np.random.default_rng(0), 3, (5, 5, 19)
    values, grad, move = rng.normal(size=(3, d, height, width))
    logits, turn = rng.normal(size=(2, k * k, k * k, height, width))
    given = [x.astype(np.float32) for x in (grad, values, logits)]

    def run(number: int, given: list[np.ndarray]) -> list[np.ndarray]:
        out, grad_values, grad_logits = (np.full_like(x, 99) for x in (given[1], *given[1:]))
        sizes = (1, d, height, width, k, 1.0, 1, number)
        address = [x.ctypes.data for x in (*given, grad_values, grad_logits)]
        lib.condseg_outlook_forward(*address[1:3], out.ctypes.data, *sizes)
        lib.condseg_outlook_backward(*address, *sizes)
        return [out, grad_values, grad_logits]

    out, grad_values, grad_logits = run(0, given)
    step = 1e-5
    slope = _literal(values, logits + step * turn, k) - _literal(values, logits - step * turn, k)
    if not (
        np.allclose(out, _literal(values, logits, k), atol=1e-4)
        and np.isclose((grad_values * move).sum(), (grad * _literal(move, logits, k)).sum(), 1e-3)
        and np.isclose((grad_logits * turn).sum(), (grad * slope).sum() / (2 * step), 1e-3)
    ):
        return False
    # bfloat16 is the upper half of float32; NumPy has no such type
    halves = [(x.view(np.uint32) >> 16).astype(np.uint16) for x in given]
    low, same = (
        run(number, inputs)
        for number, inputs in (
            (1, halves),
            (0, [(x.astype(np.uint32) << 16).view(np.float32) for x in halves]),
        )
    )
    return all(
        np.allclose((a.astype(np.uint32) << 16).view(np.float32), b, rtol=2**-7, atol=1e-6)
        for a, b in zip(low, same, strict=True)
    )


def _open() -> ctypes.CDLL:
    """The library, whole and able to run here.

    Raises:
        OSError: It is not; the message says why.
    """
    if not LIBRARY.is_file():
        raise OSError('it was not compiled when the package was installed')
    content = LIBRARY.read_bytes()
    # setup.py wrote this end; to load what is damaged can end the process
    if hashlib.sha256(content[:-32]).digest() != content[-32:]:
        raise OSError(f'{LIBRARY} is damaged')
    return _declare(ctypes.CDLL(str(LIBRARY)))


@functools.cache
def load() -> ctypes.CDLL | str:
    """Return the library, or one sentence that says why there is none; once per process.

    ``$CONDSEG_MMSEG_NATIVE`` may be 0, for no library, or name one of :data:`VARIANTS`. Where the
    library cannot be used, one warning names the command that compiles it.

    Raises:
        ValueError: The variable has another value than these and 1.
    """
    switch = os.environ.get(SWITCH_VARIABLE) or '1'
    if switch == '0':
        return f'it is switched off by {SWITCH_VARIABLE}=0'
    try:
        lib = _open()
    except OSError as error:
        reason = str(error)
    else:
        choose_variant(lib, None if switch == '1' else switch)
        if _self_test(lib):
            return lib
        reason = f'{LIBRARY} fails its self-test'
    first = '' if LIBRARY.is_file() else 'install a C compiler (gcc or clang), then '
    logging.getLogger('condseg_mmseg').warning(
        'the outlook aggregation runs in PyTorch, several times slower than in C: %s. '
        'To compile it, %srun: %s',
        *(reason, first, COMMAND),
    )
    return reason


def unavailable() -> str | None:
    """Return None where the library is there, else one sentence that says why it is not."""
    lib = load()
    return lib if isinstance(lib, str) else None


# What torch.compiler.assume_constant_result sets, which would import the whole compiler here
# (2 s): a graph being compiled takes the answer as it is and does not look inside.
unavailable._dynamo_marked_constant = True  # type: ignore[attr-defined]
