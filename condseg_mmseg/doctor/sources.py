"""Which files belong together: folders and lists -> splits of pairs of image and mask."""

from __future__ import annotations

import os.path as osp
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from condseg_mmseg.datasets.files import FolderIndex, read_names
from condseg_mmseg.utils.findings import Findings

from .masks import MaskRule
from .scan import Pair


@dataclass
class Split:
    """One list of pairs."""

    data_set: str
    name: str
    role: str  # 'train', 'val', 'test' or 'other' (unknown)
    source: str  # list or folder it was read from
    rule: MaskRule  # how its masks are read
    pairs: list[Pair] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        """Name in the report: ``data set/split``."""
        return f'{self.data_set}/{self.name}'


def role_of(name: str) -> str:
    """Guess what a split is for from its name, such as ``train``, ``val_2`` or ``testA``.

    Returns:
        ``'train'``, ``'val'``, ``'test'``, or ``'other'`` for any other name and for two at once.
    """
    found = set(re.findall(r'(?:^|[^a-z])(trainval|train|val|dev|test)', name.lower()))
    role = found.pop() if len(found) == 1 else 'other'
    return {'dev': 'val', 'trainval': 'other'}.get(role, role)


class Resolver:
    """Turns names into pairs of files, and remembers which files were named.

    ``images`` and ``masks`` are folders; a data set without masks has None.
    """

    def __init__(
        self,
        images: str,
        masks: str | None,
        img_suffix: str | None,
        seg_map_suffix: str | None,
        findings: Findings,
    ) -> None:
        self.findings = findings
        self.images = self._index(images, img_suffix)
        self.masks = self._index(masks, seg_map_suffix) if masks is not None else None
        self.named: set[str] = set()

    def _index(self, folder: str, suffix: str | None) -> FolderIndex | None:
        try:
            index = FolderIndex(folder, suffix)
        except OSError as error:
            self.findings.add('list', str(error), [folder])
            return None
        for note in index.notes():
            self.findings.add('skipped', note, [folder])
        return index

    def all_names(self) -> list[str]:
        """Return the names of all images; masks in the same folder are left out."""
        return [] if self.images is None else self.images.names(self.masks)

    def pairs(self, names: Sequence[str], split: str) -> list[Pair]:
        """Find the files that the names of a split mean, if at least one file is there.

        Args:
            names: In the order of the list.
            split: Full name of the split, for findings.
        """
        if self.images is None:
            return []
        found: list[Pair] = []
        seen: set[str] = set()
        for name, times in Counter(names).items():
            image = self._one('image', self.images, name, split)
            mask = None if self.masks is None else self._one('mask', self.masks, name, split)
            if times > 1 or image in seen:
                again = f'{times} times' if times > 1 else 'under another spelling too'
                self.findings.add(
                    'repeated', f'{name!r} is there {again}', [image or name], [split]
                )
            if image is not None and image == mask:
                detail = 'image and mask at once; give --mask-dir or --seg-map-suffix'
                self.findings.add('same-file', detail, [image], [split])
                mask = None
            if (image or mask) and (image is None or image not in seen):
                found.append((image, mask))
            seen.update(filter(None, [image]))
        return found

    def _one(self, kind: str, index: FolderIndex, name: str, split: str) -> str | None:
        files = [osp.join(index.folder, path) for path in index.find(name)]
        self.named.update(map(osp.abspath, files))
        if not files:
            detail = f'no {kind} for {name!r}{index.hint(name)}'
            self.findings.add(f'missing-{kind}', detail, [index.wanted(name)], [split])
        elif len(files) > 1:
            detail = f'{kind} of {name!r}: {len(files)} files'
            self.findings.add('ambiguous', detail, files, [split])
        return files[0] if len(files) == 1 else None

    def unnamed(self, data_set: str, listed: bool) -> None:
        """Report the files that no split has named; what lists leave out is not a problem."""
        masks = set() if self.masks is None else set(self.masks.paths())
        images = set() if self.images is None else set(self.images.paths())
        if self.masks is not None and (self.masks.suffix or masks != images):
            images -= masks
        lone = sorted(masks - self.named - images)
        if not listed:
            for path in lone:
                self.findings.add('lone-mask', 'there is no image for it', [path], [data_set])
            return
        for kind, files in (('image', sorted(images - self.named)), ('mask', lone)):
            if files:
                self.findings.add(f'orphan-{kind}', f'{len(files)} in no list', files, [data_set])


def read_list(path: Path, findings: Findings, split: str) -> list[str]:
    """Read a list of names; what is wrong with it becomes a finding."""
    try:
        names = read_names(str(path))
    except (OSError, ValueError) as error:
        findings.add('list', f'unreadable: {error}', [str(path)], [split])
        return []
    if not names:
        findings.add('list', 'holds no name', [str(path)], [split])
    return names


@dataclass(frozen=True)
class Layout:
    """Where a folder keeps its files; see :func:`.dataset.check_dataset`."""

    img_dir: str | None = None
    mask_dir: str | None = None
    img_suffix: str | None = None
    seg_map_suffix: str | None = None
    lists: Mapping[str, Path] = field(default_factory=dict)

    def folders(self, root: Path) -> tuple[str, str]:
        """Return the folders of the images and of the masks."""
        found = 'images' if (root / 'images').is_dir() else '.'
        images, masks = self.img_dir or found, self.mask_dir
        if masks is None:
            with_masks = images != '.' if self.img_dir is None else (root / 'masks').is_dir()
            masks = 'masks' if with_masks else images
        return osp.normpath(root / images), osp.normpath(root / masks)


def from_folder(
    root: Path, name: str, layout: Layout, rule: MaskRule, findings: Findings
) -> list[Split]:
    """Read the splits of a folder.

    Its ``*.txt`` are the lists. Without any, the sub-folders of the images are the splits if all
    are named after a use (``train``, ``val``, ``test``), else all images are one split, ``all``.

    Args:
        root: The folder.
        name: Its name in the report.
        layout: Where it keeps its files.
        rule: How its masks are read.
        findings: Gets what is wrong.

    Returns:
        The splits, in the order train, validation, test, others.
    """
    resolver = Resolver(*layout.folders(root), layout.img_suffix, layout.seg_map_suffix, findings)
    splits = []

    def add(split: str, source: Path, names: Sequence[str]) -> None:
        made = Split(name, split, role_of(split), str(source), rule)
        made.pairs = resolver.pairs(names, made.full_name)
        splits.append(made)

    for path in sorted(root.glob('*.txt')):
        names = read_list(path, findings, f'{name}/{path.stem}')
        known = resolver.images is None or any(resolver.images.find(n) for n in names)
        if role_of(path.stem) == 'other' and not known:
            findings.add('skipped', 'names no image: not taken for a list', [str(path)], [name])
        elif names:
            add(path.stem, path, names)
    listed = bool(splits)
    if not listed:
        for split, names in _by_sub_folder(resolver.all_names()).items():
            add(split, root, names)
        if resolver.images is not None and not any(split.pairs for split in splits):
            findings.add('list', 'holds no image', [resolver.images.folder], [name])
    for split, path in layout.lists.items():
        add(split, path, read_list(path, findings, f'{name}/{split}'))
    resolver.unnamed(name, listed)
    order = ('train', 'val', 'test', 'other')
    return sorted(splits, key=lambda split: order.index(split.role))


def _by_sub_folder(names: list[str]) -> dict[str, list[str]]:
    """Group names by their first folder if those are uses; else one group, ``all``."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.rpartition('/')[0].partition('/')[0], []).append(name)
    if groups and all(role_of(group) != 'other' for group in groups):
        return groups
    return {'all': names}
