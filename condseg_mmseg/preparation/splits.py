"""Lists: the shipped ones, and our seeded rule, which looks at nothing but names."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from condseg_mmseg.configs import config_dir
from condseg_mmseg.datasets.files import read_names
from condseg_mmseg.utils.csv_tables import read_group_table
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.files import sha256

FRACTIONS = (0.8, 0.1, 0.1)
SPLITS = ('train', 'val', 'test')


def shipped(name: str) -> Path:
    """Return a file of ``configs/splits``.

    Args:
        name: Relative to that folder.

    Raises:
        UserError: It is not as ``SHA256SUMS`` says.
    """
    folder = config_dir() / 'splits'
    lines = (folder / 'SHA256SUMS').read_text().splitlines()
    sums = dict(line.split(maxsplit=1)[::-1] for line in lines)
    path = folder / name
    if not path.is_file() or sha256(path) != sums[name]:
        raise UserError(f'{path} is missing or was changed: install condseg-mmseg anew')
    return path


def shipped_names(name: str) -> list[str]:
    """Return the names of a shipped list; see :func:`shipped`."""
    return read_names(str(shipped(name)))


def given_names(option: str, file: Path) -> list[str]:
    """Read a list of the user.

    Args:
        option: How the user names it, such as ``'--names'``.
        file: The list.

    Raises:
        UserError: It cannot be read, or holds a name that :func:`.read_names` refuses.
    """
    try:
        return read_names(str(file))
    except (OSError, ValueError) as error:
        raise UserError(f'{option} {file}: unreadable ({error})') from error


def hash_order(names: Iterable[str], seed: int) -> list[str]:
    """Shuffle names by the SHA-256 of ``'seed:name'``.

    It depends on no random generator and no order, and a name more or less leaves the others as
    they were.
    """
    return sorted(names, key=lambda n: (hashlib.sha256(f'{seed}:{n}'.encode()).hexdigest(), n))


def split_names(
    names: Sequence[str],
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    groups: Mapping[str, str] | None = None,
) -> dict[str, list[str]]:
    """Split names into train, val and test by our rule, whole groups together.

    The groups come in :func:`hash_order`. The first go to test until one more would take test
    farther from its share than it is, the next go to val by the same rule, the rest to train. A
    part whose share is not 0 gets at least one group.

    Args:
        names: All names, in the order the lists will have.
        fractions: Shares of train, val and test. Default 0.8, 0.1, 0.1.
        seed: Any integer. Default 0.
        groups: Group of every name, which never straddles a split. Default: each name its own.

    Returns:
        Names by split, without empty splits.

    Raises:
        UserError: A part that should have images has none: too few groups.
    """
    check_fractions(fractions)
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(name if groups is None else groups[name], []).append(name)
    order = hash_order(members, seed)
    part: dict[str, str] = {}
    for split, share in (('test', fractions[2]), ('val', fractions[1])):
        # Halves up: round() would take 0.5 down and 1.5 up.
        target, size = math.floor(share * len(names) + 0.5), 0
        while order and share and (not size or 2 * size + len(members[order[0]]) <= 2 * target):
            group = order.pop(0)
            part.update(dict.fromkeys(members[group], split))
            size += len(members[group])
    lists = {split: [n for n in names if part.get(n, 'train') == split] for split in SPLITS}
    empty = [s for s, share in zip(SPLITS, fractions, strict=True) if share and not lists[s]]
    if empty:
        raise UserError(
            f'--split {" ".join(map(str, fractions))} leaves nothing for {" and ".join(empty)}: '
            f'there are {len(members)} groups (or single images)'
        )
    return {split: found for split, found in lists.items() if found}


def rule_of(what: str) -> str:
    """Return what ``dataset.json`` says of our rule for names, groups or sequences."""
    return f"{what}s by SHA-256 of 'seed:{what}': the first are test, the next val, the rest train"


def check_fractions(fractions: Sequence[float]) -> None:
    """Raise UserError unless the three shares lie in 0..1, sum to 1 and leave some for train."""
    right = len(fractions) == 3 and all(0 <= share <= 1 for share in fractions)
    if not right or abs(sum(fractions) - 1) > 1e-6 or not fractions[0]:
        raise UserError(
            '--split takes the shares of train, val and test, which sum to 1, train above 0; got '
            + ' '.join(map(str, fractions))
        )


def groups_file(option: str, file: Path, columns: tuple[str, ...] | None = None) -> dict[str, str]:
    """Read a table of groups of the user.

    Args:
        option: How the user names it, such as ``'--groups'``.
        file: The table.
        columns: As of :func:`.read_group_table`. Default None.

    Raises:
        UserError: There is no such file, or :func:`.read_group_table` refuses it.
    """
    if not file.is_file():
        raise UserError(f'{option} {file}: no such file')
    return read_group_table(file.read_bytes(), f'{option} {file}', columns)
