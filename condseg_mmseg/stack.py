"""Says what is wrong with the installed OpenMMLab stack, and which command fixes it.

Two families of packages import as ``mmcv``, ``mmengine`` and ``mmseg``: upstream OpenMMLab and its
maintained OneDL forks. ``condseg_mmseg`` runs on either, so it can require neither by name when it
is installed, and looks at what is there when it is imported.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

#: Oldest version of each module that is let pass: upstream's last mmsegmentation and mmengine, and
#: the oldest mmcv that mmsegmentation 1.2.2 accepts. Every release of the forks is newer, and only
#: the forks are tested.
OLDEST: Mapping[str, str] = {'mmengine': '0.10.7', 'mmcv': '2.0.0', 'mmseg': '1.2.2'}

# Both families whole: what stays of one would be overwritten in part by the other's files.
_UNINSTALL = (
    'pip uninstall -y mmcv mmcv-lite mmengine mmsegmentation '
    'onedl-mmcv onedl-mmengine onedl-mmsegmentation'
)
_INSTALL = 'pip install "onedl-mmcv>=2.3.6" "onedl-mmengine>=0.10.12" "onedl-mmsegmentation>=1.4.2"'


#: What the forks say when they are imported, as if something were wrong: that optional packages,
#: of which nothing is needed here, are not installed.
NOTE = 'Could not import OneDL'
WARNING = 'Fail to import ``MultiScaleDeformableAttention`` from '


def release(version: str) -> tuple[int, ...]:
    """Returns the release numbers of a version, without any suffix.

    Args:
        version: A version such as ``'2.1.0+cpu'`` or ``'1.3.0rc1'``.

    Returns:
        The leading numbers, without trailing zeros so that 2.0 equals 2.0.0; empty when the text
        does not start with a number.
    """
    match = re.match(r'\d+(\.\d+)*', version.strip())
    numbers = [int(part) for part in match.group().split('.')] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def stack_problems(found: Mapping[str, str | None]) -> list[str]:
    """Lists what is wrong with a set of installed versions, one line each.

    Args:
        found: Module name -> version, None where the module is missing, '' where it is there but
            has no version. A name of :data:`OLDEST` that ``found`` lacks counts as missing.

    Returns:
        One line per missing or too old module; empty when all is well. There is no upper bound.
    """
    problems = []
    for name, oldest in OLDEST.items():
        version = found.get(name)
        if version is None:
            problems.append(f'{name} is missing (needs >= {oldest})')
        elif version and release(version) < release(oldest):
            problems.append(f'{name} is {version}, older than {oldest}, the oldest accepted')
    return problems


def fixing_command(found: Mapping[str, str | None]) -> str:
    """Returns the shell command that gives a working stack.

    The two families overwrite each other's files, so whatever part of either is there goes first.

    Args:
        found: Module name -> version, or None where the module is missing.
    """
    if any(found.get(name) is not None for name in OLDEST):
        return f'{_UNINSTALL} && {_INSTALL}'
    return _INSTALL


def check_stack(found: Mapping[str, str | None]) -> None:
    """Checks a set of installed versions.

    Args:
        found: Module name -> version, or None where the module is missing.

    Raises:
        ImportError: A module is missing or too old. The message names all of them and ends with
            the command that fixes them.
    """
    problems = stack_problems(found)
    if problems:
        raise ImportError(_message(problems, found))


def installed_versions() -> dict[str, str | None]:
    """Returns the ``__version__`` of every module of the stack.

    Returns:
        Module name -> version, None where the module is missing, '' where it does not import
        because another one is missing.

    Raises:
        ImportError: All are there and one cannot be imported, for example because it refuses the
            version of another.
    """
    found: dict[str, str | None] = {}
    broken: dict[str, Exception] = {}
    for name in OLDEST:
        if importlib.util.find_spec(name) is None:
            found[name] = None
            continue
        try:
            found[name] = str(importlib.import_module(name).__version__)
        # upstream mmseg asserts its bounds on mmcv, and a broken build raises OSError
        except Exception as error:
            found[name] = ''
            broken[name] = error
    if broken and None not in found.values():
        name, reason = next(iter(broken.items()))
        problem = f'{name} does not import: {type(reason).__name__}: {reason}'
        raise ImportError(_message([problem], found, reason)) from reason
    return found


def import_failure(error: ImportError) -> str:
    """Explains why the modules of ``condseg_mmseg`` do not import on a stack that is there.

    The check of :func:`require_stack` imports the top of each module only; what is missing further
    in (``mmcv._ext`` with mmcv-lite, ``ftfy`` with upstream's mmseg) shows later.

    Args:
        error: What an import inside the package raised.

    Returns:
        A message with the error's text and the command that fixes it; empty where the module that
        is missing is our own, which no installation of the stack would fix.
    """
    if (error.name or '').partition('.')[0] == __package__:
        return ''
    found = dict.fromkeys(OLDEST, '')
    problem = f'it does not import in full: {type(error).__name__}: {error}'
    return _message([problem], found, error)


def require_stack() -> None:
    """Checks the stack that is installed.

    Raises:
        ImportError: See :func:`check_stack` and :func:`installed_versions`.
    """
    check_stack(installed_versions())


def runs_command() -> bool:
    """Whether this process is the command ``condseg``, or ``python -m condseg_mmseg``.

    It gets the message of :func:`require_stack` without a traceback.
    """
    name = Path(sys.argv[0]).name if sys.argv else ''
    return name in ('condseg', 'condseg.exe') or (name == '-m' and __package__ in sys.orig_argv)


@contextlib.contextmanager
def without_notes_of_the_forks() -> Iterator[None]:
    """Keeps :data:`NOTE` (printed) and :data:`WARNING` to itself; imports run inside.

    All else that is printed goes to stderr, at the end: what a command of ours prints may be read
    by a script. The warning stays off, other warnings are as before. Where mmseg's data sets or
    models were imported earlier, they have printed it already.
    """
    warnings.filterwarnings('ignore', re.escape(WARNING), UserWarning)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        lines = printed.getvalue().splitlines(keepends=True)
        sys.stderr.write(''.join(line for line in lines if line.rstrip('\r\n') != NOTE))


def _message(
    problems: list[str], found: Mapping[str, str | None], error: Exception | None = None
) -> str:
    lines = ['condseg_mmseg needs MMSegmentation and the packages under it:']
    lines += [f'  - {problem}' for problem in problems]
    if re.search(r'\blib(GL|glib|gthread)\b\S*\.so', str(error)):  # OpenCV wants them
        lines += ['A library of the system is missing; on Debian and Ubuntu this installs it:']
        lines += ['  apt-get install libgl1 libglib2.0-0']
    else:
        lines += ['This installs a tested set:', f'  {fixing_command(found)}']
    return '\n'.join(lines)
