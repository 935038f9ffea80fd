"""From the owners' files to a finished folder: find every problem, write, record."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from condseg_mmseg.datasets.files import is_not_read
from condseg_mmseg.utils.arguments import check_folder, refuse_inputs
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.findings import Findings
from condseg_mmseg.utils.text import count, first_ten

from . import convert
from .convert import Job, Seen
from .custom import plan_custom
from .glas import plan_glas
from .isic import plan_isic2016, plan_isic2017
from .judge import holds, judge_originals, judge_out, require_space
from .plan import Plan, images_of
from .polyps import plan_cvc_clinicdb, plan_kvasir_seg, plan_kvasir_sessile
from .problems import new_findings, some, stop
from .record import describe
from .sources import Source, is_archive, refuse_overlap
from .splits import SPLITS

RECIPES: Mapping[str, tuple[Callable[..., Plan], str]] = {
    'kvasir_seg': (plan_kvasir_seg, 'kvasir-seg.zip: images/ and masks/; official lists'),
    'kvasir_sessile': (
        plan_kvasir_sessile,
        'kvasir-seg.zip, or the archive of its sessile subset: images/ and masks/',
    ),
    'glas': (
        plan_glas,
        'warwick_qu_dataset_released_2016_07_08.zip: train_N.bmp, testA_N.bmp, testB_N.bmp, '
        'X_anno.bmp, Grade.csv',
    ),
    'isic2016': (plan_isic2016, 'ISBI2016_ISIC_Part1_{Training,Test}_{Data,GroundTruth}.zip'),
    'isic2017': (
        plan_isic2017,
        'ISIC-2017_{Training,Validation,Test_v2}_{Data,Part1_GroundTruth}.zip',
    ),
    'cvc_clinicdb': (
        plan_cvc_clinicdb,
        'the unpacked CVC-ClinicDB.rar, or a zip: Original/ and Ground Truth/; split by sequence',
    ),
    'custom': (plan_custom, 'your own: images/ and masks/'),
}
"""How each data set is planned, and what its owners distribute."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Prepared:
    """What :func:`prepare` made.

    Attributes:
        images: Number of images, each with its mask.
        lists: Number of names by list file.
        files: Number of images and masks that were written, or are to be written in a dry run.
        warnings: One sentence each; ``dataset.json`` holds those about the originals.
    """

    images: int
    lists: dict[str, int]
    files: int
    warnings: list[str]


def prepare(
    name: str,
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    force: bool = False,
    allow_incomplete: bool = False,
    dry_run: bool = False,
    workers: int = 2,
    progress: Progress | None = None,
    **options: Any,
) -> Prepared:
    """Bring a data set, as its owners distribute it, into the layout of ``BinaryMedicalDataset``.

    Every problem of the files is found before the first is written. A stopped run goes on where it
    was when it is repeated; a finished data set is compared and left as it is.

    Args:
        name: Key of :data:`RECIPES`.
        sources: An archive (zip, tar) or a folder, or several; they are only read.
        out: Folder to make or to complete.
        force: Replace files that have other content. Default False.
        allow_incomplete: Leave out images without mask, masks without image, and names of known
            lists that are missing. Default False: they are errors.
        dry_run: Check all files and write nothing. Default False.
        workers: Threads. Default 2.
        progress: Called with what is done (``'check'``, ``'write'``), the number of files done and
            of all files.
        **options: Of the data set: see :func:`.custom.plan_custom`,
            :func:`.polyps.plan_kvasir_sessile` and :func:`.polyps.plan_cvc_clinicdb`.

    Raises:
        UserError: The files have problems, nothing was written; or a file could not be written.
    """
    if name not in RECIPES:
        raise UserError(f'{name} is no data set known here: choose from {", ".join(RECIPES)}')
    if workers < 1:
        raise UserError(f'--workers must be at least 1, got {workers}')
    sources = [sources] if isinstance(sources, (str, Path)) else sources
    out, paths = Path(out), [Path(path) for path in sources]
    if force:  # otherwise no file is replaced
        given = [options.get(option) for option in (*SPLITS, 'groups', 'names', 'sequences')]
        for file in (*(f'{split}.txt' for split in SPLITS), 'dataset.json'):
            refuse_inputs('OUT', out / file, given)
    refuse_overlap(paths, out)
    check_folder('OUT', out)
    progress = progress or (lambda what, done, total: None)
    findings = new_findings(allow_incomplete)
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(contextlib.closing(Source(path))) for path in paths]
        plan = _plan(name, opened, findings, options)
        try:
            seen = _check(plan, out, workers, progress)
            texts = _judge(name, plan, opened, out, seen, findings, force)
            todo = [result.job for result in seen.values() if result.state != 'right']
            require_space(out, todo)
            if not dry_run:
                _write(out, plan, todo, texts, workers, progress)
        except OSError as error:
            raise UserError(f'{error}; repeat the command to go on') from error
    lists = {file: len(names) for file, names in plan.lists.items()}
    warnings = [finding.detail for finding in findings.of('warning')]
    return Prepared(len(plan.pairs), lists, len(todo), warnings)


def _plan(
    name: str, sources: Sequence[Source], findings: Findings, options: Mapping[str, Any]
) -> Plan:
    entries = [entry for source in sources for entry in source.entries()]
    links = [link for source in sources for link in source.links]
    if links:
        findings.add('note', f'{count(len(links), "link")} not followed, back into a folder or to '
            f'files that it holds already: {first_ten(links)}')  # fmt: skip
    others = [entry for entry in entries if is_not_read(entry.name)]
    if others:
        what = f'{count(len(others), "file")} of a format that is not read here: {some(others)}'
        findings.add('note', f'{what}; store them as PNG, JPEG, BMP or TIFF')
    archives = [entry for entry in entries if is_archive(entry.name)]
    if archives and not images_of(entries):
        raise UserError(f'SRC holds archives and no image: give them as SRC: {first_ten(archives)}')
    plan = RECIPES[name][0](entries, findings, **options)
    stop(findings)
    return plan


def _judge(
    name: str,
    plan: Plan,
    sources: Sequence[Source],
    out: Path,
    seen: Mapping[str, Seen],
    findings: Findings,
    force: bool,
) -> dict[str, bytes]:
    """Find every problem; return the content of the lists and, last, of ``dataset.json``."""
    judge_originals(plan, seen, findings)
    stop(findings)
    texts = {
        file: ''.join(f'{name}\n' for name in names).encode() for file, names in plan.lists.items()
    }
    warnings = [finding.detail for finding in findings.of('warning')]
    record = describe(name, plan, sources, seen, texts, warnings)
    text = json.dumps(record, indent=1, ensure_ascii=False) + '\n'
    texts['dataset.json'] = text.encode(errors='backslashreplace')  # of names that are no UTF-8
    judge_out(out, seen, texts, findings, force)
    stop(findings)
    return texts


def _check(plan: Plan, out: Path, workers: int, progress: Progress) -> dict[str, Seen]:
    """Read every file and compare with what OUT holds; by target, in the order of the sources."""
    seen, jobs = {}, convert.jobs_of(plan)
    look = partial(convert.inspect, out=out, threshold=plan.threshold)
    for job, result in convert.process(jobs, look, workers):
        seen[job.target] = Seen(job, problem=str(result)) if isinstance(result, OSError) else result
        progress('check', len(seen), len(jobs))
    return seen


def _write(
    out: Path,
    plan: Plan,
    todo: Sequence[Job],
    texts: Mapping[str, bytes],
    workers: int,
    progress: Progress,
) -> None:
    """Write the files, then the lists, then ``dataset.json``, each as a whole."""
    do = partial(convert.make, out=out, threshold=plan.threshold)
    total = 2 * len(plan.pairs)
    for done, (_, result) in enumerate(convert.process(todo, do, workers), 1 + total - len(todo)):
        if isinstance(result, OSError):
            raise result
        progress('write', done, total)
    for file, data in texts.items():
        if not holds(out / file, data):
            with convert.replaced(out / file) as temporary:
                temporary.write_bytes(data)
