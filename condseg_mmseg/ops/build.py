"""Builds the C source of the op with the system's compiler, once per user, source and CPU.

Not through ``torch.utils.cpp_extension``: that needs ninja and compiles PyTorch's C++ headers for
about 40 s. This source needs neither PyTorch nor Python, only pointers, and takes about 6 s.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCES = Path(__file__).with_name('csrc')
CACHE_VARIABLE = 'CONDSEG_MMSEG_CACHE_DIR'

# No -ffast-math: it drops NaN, and linked with it, older GCC makes the whole process flush
# denormals. The options here keep every value and only forgo errno and floating-point traps.
# OpenMP's functions are those of the runtime PyTorch brought, which the loader finds first.
FLAGS = (
    *('-std=gnu11', '-O3', '-fno-math-errno', '-fno-trapping-math', '-ffp-contract=fast'),
    *('-fopenmp', '-fPIC', '-shared'),
)
_TIMEOUT = 120  # seconds


class BuildError(RuntimeError):
    """The library cannot be built here; the message is one sentence that says why."""


def cache_dir() -> Path:
    """Return the folder of built libraries, which only its owner can write to.

    It is ``$CONDSEG_MMSEG_CACHE_DIR``, else ``condseg_mmseg`` in ``$XDG_CACHE_HOME`` or
    ``~/.cache``.

    Raises:
        BuildError: It cannot be made, or others could put a library of theirs there.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    try:
        base = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
        path = Path(chosen) if chosen else base / 'condseg_mmseg'
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = path.stat()
    except (OSError, RuntimeError) as error:  # RuntimeError: a user without a home
        raise BuildError(f'no cache folder: {error}') from error
    if state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise BuildError(f'the cache folder {path} must be yours and writable by you alone')
    return path


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors='replace', check=False, timeout=_TIMEOUT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f'{shlex.join(command)}: {error}') from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f'exit status {done.returncode}']
        raise BuildError(f'{shlex.join(command)}: {lines[0]}')
    return done.stdout


def _compiler() -> tuple[list[str], str]:
    """The command with its options for this CPU, and all the macros it predefines.

    The macros name the compiler's version and the instructions it will use: a library in a home
    shared between machines is taken only where they agree.
    """
    chosen = os.environ.get('CC')
    names = [chosen] if chosen else [name for name in ('cc', 'gcc', 'clang') if shutil.which(name)]
    if not names:
        raise BuildError('no C compiler: none of cc, gcc, clang is on the PATH and $CC is not set')
    try:
        command = [*shlex.split(names[0]), *FLAGS]
    except ValueError as error:  # an open quotation
        raise BuildError(f'$CC is {names[0]!r}: {error}') from error
    probe = ['-dM', '-E', '-x', 'c', os.devnull]
    try:
        native = [*command, '-march=native']
        return native, _run([*native, *probe])
    except BuildError:  # not every compiler knows the word
        return command, _run([*command, *probe])


def library() -> Path:
    """Return the path of the library, built if this is the first use.

    Several processes may build at once: each writes to a folder of its own, and the finished file
    takes its name in one step.

    Raises:
        BuildError: No compiler, no OpenMP, no cache folder, or the compiler failed.
    """
    if os.name != 'posix':
        raise BuildError(f'the native form is built on POSIX systems only, not on {os.name!r}')
    command, macros = _compiler()
    key = hashlib.sha256('\0'.join([*command, macros]).encode())
    for source in sorted(SOURCES.iterdir()):
        key.update(source.read_bytes())
    folder = cache_dir()
    target = folder / f'outlook-{key.hexdigest()[:24]}.so'
    if target.is_file():
        return target
    try:
        with tempfile.TemporaryDirectory(prefix='build-', dir=folder) as scratch:
            built = Path(scratch) / target.name
            _run([*command, str(SOURCES / 'outlook.c'), '-o', str(built)])
            os.replace(built, target)
    except OSError as error:
        raise BuildError(f'cannot write to the cache folder {folder}: {error}') from error
    return target
