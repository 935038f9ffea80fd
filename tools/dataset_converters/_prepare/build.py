"""From a plan to a finished folder: find every problem, write, record."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .convert import WORK_DIR, Job, Seen, inspect, jobs_of, make, process
from .findings import Findings, PrepareError, count, some
from .plan import Plan, stem
from .record import describe
from .sources import Source
from .splits import content

_SPARE = 2**24  # bytes that stay free on the disk


class Builder:
    """Makes one data set.

    Args:
        plan: What to make.
        sources: Where it comes from.
        out: Folder to make or to complete.
        findings: Problems and warnings; its warnings so far go into ``dataset.json``.
        force: Replace files that have other content.
        workers: Threads.
        console: Where the progress bar goes.
    """

    def __init__(
        self,
        plan: Plan,
        sources: Sequence[Source],
        out: Path,
        findings: Findings,
        force: bool = False,
        workers: int = 2,
        console: Console | None = None,
    ) -> None:
        self.plan = plan
        self.sources = sources
        self.out = out
        self.findings = findings
        self.force = force
        self.workers = workers
        self.console = console or Console(stderr=True)
        self.jobs = jobs_of(plan)

    def _progress(self) -> Progress:
        return Progress(
            TextColumn('{task.description}'),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self.console,
        )

    def check(self, dataset: str) -> tuple[list[Job], dict[str, bytes]]:
        """Read every file and compare with what OUT holds; writes nothing.

        Args:
            dataset: Name for ``dataset.json``.

        Returns:
            The files to write, and the lists and ``dataset.json`` by name.

        Raises:
            PrepareError: With all problems.
        """
        seen: dict[str, Seen] = {}
        with tempfile.TemporaryDirectory() as scratch, self._progress() as progress:
            task = progress.add_task('check', total=len(self.jobs))
            look = partial(inspect, out=self.out, threshold=self.plan.threshold)
            for job, result in process(self.jobs, look, Path(scratch), self.workers):
                if isinstance(result, OSError):
                    result = Seen(job, (0, 0), str(result), '', 0.0, 'new')
                seen[job.target] = result
                progress.advance(task)
        self._judge(seen)
        self.findings.stop()
        texts = {file: content(names) for file, names in self.plan.lists.items()}
        record = describe(dataset, self.plan, self.sources, seen, texts, self.findings.warnings)
        texts['dataset.json'] = (json.dumps(record, indent=1, ensure_ascii=False) + '\n').encode()
        self._judge_out(seen, texts)
        self.findings.stop()
        todo = [job for job in self.jobs if seen[job.target].state != 'right']
        self._judge_space(todo)
        return todo, texts

    def _judge(self, seen: dict[str, Seen]) -> None:
        """Find what is wrong with the originals."""
        findings, plan = self.findings, self.plan
        for result in seen.values():
            if result.problem:
                kind = 'mask' if result.job.is_mask else 'image'
                findings.error(f'{kind} {result.job.entry}: {result.problem}')
        masks = []
        for job in self.jobs:
            if job.is_mask:
                masks.append(seen[job.target])
                continue
            image, mask = seen[job.target], seen[f'masks/{job.name}.png']
            if not image.problem and not mask.problem and image.size != mask.size:
                findings.error(
                    'size of mask {} is {} x {}, of its image {} {} x {}'.format(
                        mask.job.entry, *mask.size, image.job.entry, *image.size
                    )
                )
        doubts = [mask for mask in masks if mask.doubt]
        if doubts and plan.strict_masks:
            for mask in doubts:
                text = mask.doubt.replace("LoadBinaryMask(mode='nonzero')", '--mask-mode nonzero')
                text = text.replace("LoadBinaryMask(mode='threshold')", '--mask-mode threshold')
                findings.error(f'mask {mask.job.entry}: {text} (--force-mode: take it as it is)')
        elif doubts:
            findings.warn(
                f'{count(len(doubts), "mask")} with odd values, such as {doubts[0].job.entry}: '
                + doubts[0].doubt.split(';')[0]
            )
        for text, share in (('no', 0.0), ('nothing but', 1.0)):
            odd = [m.job.name for m in masks if not m.problem and m.foreground == share]
            if odd:
                findings.warn(f'{count(len(odd), "mask")} with {text} foreground: {some(odd)}')

    def _judge_out(self, seen: dict[str, Seen], texts: dict[str, bytes]) -> None:
        """Find what stands in the way in OUT."""
        others = [target for target, result in seen.items() if result.state == 'other']
        for file, data in texts.items():
            path = self.out / file
            if os.path.lexists(path) and not _is(path, data):
                others.append(file)
        names = {kind: set() for kind in ('images', 'masks')}
        for target in seen:
            kind, _, rest = target.partition('/')
            names[kind].add(stem(rest))
        strange = []
        for path in self._strangers(set(seen) | set(texts)):
            kind, _, rest = path.partition('/')
            if rest and stem(rest) in names[kind]:
                self.findings.error(f'{self.out / path} makes the name {stem(rest)!r} ambiguous')
            else:
                strange.append(path)
        if others and not self.force:
            self.findings.error(
                f'{count(len(others), "file")} in {self.out} with other content: {some(others)} '
                '(--force: replace them)'
            )
        if strange and not self.force:
            self.findings.error(
                f'{count(len(strange), "file")} in {self.out} of something else: {some(strange)} '
                '(--force: leave them there)'
            )
        elif strange:
            self.findings.warn(f'left in {self.out}, of something else: {some(strange)}')

    def _strangers(self, ours: set[str]) -> list[str]:
        """Return the files in OUT that are not of this data set."""
        found = [path.name for path in sorted(self.out.glob('*.txt'))]
        for kind in ('images', 'masks'):
            for root, folders, files in os.walk(self.out / kind):
                folders.sort()
                found += [
                    Path(root, file).relative_to(self.out).as_posix() for file in sorted(files)
                ]
        return [path for path in found if path not in ours and '/.' not in path]

    def _judge_space(self, todo: list[Job]) -> None:
        there = self.out
        while not there.exists():
            there = there.parent
        # Masks shrink as PNG of 0 and 1; the originals are an upper bound.
        needed, free = sum(job.entry.size for job in todo), shutil.disk_usage(there).free
        if needed + _SPARE > free:
            raise PrepareError(
                f'{self.out} needs up to {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free'
            )

    def write(self, todo: Sequence[Job], texts: dict[str, bytes]) -> None:
        """Write the files, then the lists, then ``dataset.json``.

        Each appears whole under its name or not at all, so that a stopped run can be repeated.

        Args:
            todo: Images and masks to write.
            texts: Content of the other files, ``dataset.json`` last.

        Raises:
            OSError: A file cannot be read any more, or not be written.
        """
        scratch = self.out / WORK_DIR
        texts = {f: data for f, data in texts.items() if not _is(self.out / f, data)}
        if not todo and not texts and not scratch.is_dir():
            return
        if scratch.is_dir():
            shutil.rmtree(scratch)  # of a run that was stopped
        scratch.mkdir(parents=True)
        with self._progress() as progress:
            task = progress.add_task('write', total=len(self.jobs))
            progress.advance(task, len(self.jobs) - len(todo))
            do = partial(make, out=self.out, threshold=self.plan.threshold)
            for _, result in process(todo, do, scratch, self.workers):
                if isinstance(result, OSError):
                    raise result
                progress.advance(task)
        for file, data in texts.items():
            (scratch / file).write_bytes(data)
            os.replace(scratch / file, self.out / file)
        scratch.rmdir()


def _is(path: Path, data: bytes) -> bool:
    """Whether a file is there and has this content."""
    return path.is_file() and path.read_bytes() == data
