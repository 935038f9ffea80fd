"""What is wrong with the originals, and what is in the way in OUT, before anything is written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.findings import Findings
from condseg_mmseg.utils.mask_values import mask_kind, set_problem
from condseg_mmseg.utils.text import count, file_size, first_ten

from .convert import Job, Seen
from .plan import Plan, stem
from .problems import some

_SPARE = 2**24  # bytes that stay free on the disk


def judge_originals(plan: Plan, seen: Mapping[str, Seen], findings: Findings) -> None:
    """Find what is wrong with the originals.

    Args:
        plan: What will be made of them.
        seen: What the check found, by target.
        findings: Gets the problems.
    """
    for result in seen.values():
        if result.problem:
            kind = 'mask' if result.job.is_mask else 'image'
            findings.add('problem', f'{kind} {result.job.entry}: {result.problem}')
    for image in seen.values():
        mask = seen[f'masks/{image.job.name}.png']
        if not image.problem and not mask.problem and image.size != mask.size:
            text = 'size of mask {} is {} x {}, of its image {} {} x {}'
            entries = mask.job.entry, *mask.size, image.job.entry, *image.size
            findings.add('problem', text.format(*entries))
        elif image.turned and not (image.problem or mask.problem):
            findings.add('problem', f'image {image.job.entry}: {image.turned}')
    _judge_masks(plan, [result for result in seen.values() if result.job.is_mask], findings)


def _judge_masks(plan: Plan, masks: Sequence[Seen], findings: Findings) -> None:
    """Find masks of odd values, of no foreground, and sets that are wrong as a whole."""
    doubts = [mask for mask in masks if mask.doubt]
    if doubts and plan.strict_masks:
        for mask in doubts:
            text = mask.doubt.replace("LoadBinaryMask(mode='nonzero')", '--mask-mode nonzero')
            text = text.replace("LoadBinaryMask(mode='threshold')", '--mask-mode threshold')
            text = f'mask {mask.job.entry}: {text} (--force-mode: take it as it is)'
            findings.add('problem', text)
    elif doubts:
        text = f'{count(len(doubts), "mask")} with odd values, such as {doubts[0].job.entry}: '
        findings.add('note', text + doubts[0].doubt.split(';')[0])
    sound = [mask for mask in masks if not (mask.problem or mask.doubt)]
    problem = set_problem(mask_kind(mask.foreground, mask.border) for mask in sound)
    if problem:
        findings.add('problem' if plan.judge_set else 'note', problem)
    for text, share in (('no', 0.0), ('nothing but', 1.0)):
        odd = [mask.job.name for mask in masks if not mask.problem and mask.foreground == share]
        if odd:
            text = f'{count(len(odd), "mask")} with {text} foreground: {some(odd)}'
            findings.add('note', text)


def judge_out(
    out: Path, seen: Mapping[str, Seen], texts: Mapping[str, bytes], findings: Findings, force: bool
) -> None:
    """Find what is in the way in OUT.

    Args:
        out: OUT.
        seen: What the check found, by target.
        texts: Content of the lists and of ``dataset.json``, by file.
        findings: Gets the problems.
        force: Whether files of other content may be replaced, and other files may stay.
    """
    others = [target for target, result in seen.items() if result.state == 'other']
    others += [
        f for f, data in texts.items() if os.path.lexists(out / f) and not holds(out / f, data)
    ]
    strange = []
    stems = {stem(target) for target in seen}
    for path in _strangers(out, {*seen, *texts}):
        if stem(path) in stems:
            name = stem(path).partition('/')[2]
            findings.add('problem', f'{out / path} makes the name {name!r} ambiguous')
        else:
            strange.append(path)
    if others and not force:
        text = f'{count(len(others), "file")} in {out} with other content: {first_ten(others)}'
        findings.add('problem', f'{text} (--force: replace them)')
    if strange and not force:
        text = f'{count(len(strange), "file")} in {out} of something else: {first_ten(strange)}'
        findings.add('problem', f'{text} (--force: leave them there)')
    elif strange:
        findings.add('note', f'left in {out}, of something else: {first_ten(strange)}')


def _strangers(out: Path, ours: Collection[str]) -> list[str]:
    """Return the files in OUT that are not of this data set."""
    found = [*out.glob('*.txt')]
    found += [p for kind in ('images', 'masks') for p in (out / kind).rglob('*') if not p.is_dir()]
    paths = sorted(path.relative_to(out).as_posix() for path in found)
    return [path for path in paths if path not in ours and '/.' not in path]


def require_space(out: Path, todo: Sequence[Job]) -> None:
    """Refuse to begin where the disk is too full.

    Args:
        out: OUT, which need not be there.
        todo: What will be written.

    Raises:
        UserError: With what is needed and what is free.
    """
    there = out
    while not there.exists():
        there = there.parent
    # Masks shrink as PNG of 0 and 1; the originals are an upper bound.
    needed, free = sum(job.entry.size for job in todo), shutil.disk_usage(there).free
    if needed + _SPARE > free:
        raise UserError(
            f'{out} needs up to {file_size(needed)}, and {file_size(_SPARE)} have to stay free; '
            f'{file_size(free)} are free'
        )


def holds(path: Path, data: bytes) -> bool:
    """Whether a file is there and has this content, which is small."""
    return path.is_file() and path.read_bytes() == data
