"""Data set of images with one foreground each."""

from __future__ import annotations

import os.path as osp
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from ..utils.image_files import require_whole
from ..utils.text import first_ten
from .files import FolderIndex, check_pairs, read_names
from .resize_with_mask import warn_of_nearest
from .seeded_draws import SeededDraws


class DatasetFilesError(ValueError, FileNotFoundError):
    """Files of a data set are missing, unreadable or ambiguous; the message lists the first ten."""


@DATASETS.register_module()
class BinaryMedicalDataset(SeededDraws, BaseSegDataset):
    """Images and masks with one foreground, in the layouts in which medical sets come.

    ======================  ===================================================================
    Kvasir-SEG, CVC         ``images/x.jpg``, ``masks/x.jpg``, ``train.txt`` of stems: the
                            default ``data_prefix`` and ``ann_file='train.txt'``
    mmseg                   ``img_dir/train/x.jpg``, ``ann_dir/train/x.png``, no list:
                            ``data_prefix=dict(img_path='img_dir/train',
                            seg_map_path='ann_dir/train')``
    ISIC                    ``seg_map_suffix='_segmentation'``
    GlaS                    all in one folder: ``data_prefix=dict(img_path='', seg_map_path='')``,
                            ``seg_map_suffix='_anno'``
    ======================  ===================================================================

    The masks may be 0/255, with JPEG noise, or labels: the transform ``LoadBinaryMask`` of the
    pipeline makes 0/1 of them. Every file problem is found when the data set is built. Files are
    read from local (or mounted) folders.

    Args:
        ann_file: List of names, one a line, relative to ``data_root``; LF, CRLF or CR. Default
            ``''``: every image of the folder and its sub-folders that fits ``img_suffix``.
        img_suffix: What follows the name in an image file. None: any of jpg, jpeg, png, bmp, tif,
            tiff in any case; with an ending (``'.png'``): exactly that; without (``'_img'``):
            followed by any ending. Default None.
        seg_map_suffix: The same for masks. Default None.
        data_prefix: Folders of images (``img_path``) and masks (``seg_map_path``), relative to
            ``data_root``. Without ``seg_map_path`` there are no masks, which needs
            ``test_mode=True``. Default ``images`` and ``masks``.
        other_ann_files: Further lists, relative to ``data_root``, with which this one should
            share no image (train against validation), however its name is spelt there: ``x`` and
            ``x.jpg`` may be the same. Default ``()``.
        check_files: Read the headers of all files (0.2 ms each) and compare the sizes of images
            and masks; decode a file strictly (:func:`.require_whole`) when it is first taken, once
            in each process. False only resolves the names. Default True.
        metainfo: May rename the two ``classes`` and set their ``palette``. Default None.
        **kwargs: As in mmseg's ``BaseSegDataset``. ``reduce_zero_label`` and ``backend_args``
            are refused.

    Raises:
        DatasetFilesError: A ``ValueError`` and ``FileNotFoundError``: missing folder, list, image
            or mask, empty or undecodable list, a name that leads out of the folder, duplicate or
            ambiguous name, mask of another size, and what :func:`.read_header` refuses: unreadable
            or truncated files, other formats, unfit bit depth or orientation. It lists the first
            ten problems and how many there are.
        FileDefect: A ``ValueError``, when a sample is taken: a damaged file.
        ValueError: For another number of classes than two, or masks missing in training.

    Warns:
        UserWarning: If an image is in one of ``other_ann_files`` too, mmseg's ``Resize`` comes
            after ``LoadBinaryMask`` in the pipeline, or a folder holds links that are not followed
            or pictures of a format that is not read here.
    """

    METAINFO = dict(classes=('background', 'foreground'), palette=[[0, 0, 0], [0, 255, 0]])

    def __init__(
        self,
        ann_file: str = '',
        img_suffix: str | None = None,
        seg_map_suffix: str | None = None,
        data_prefix: dict | None = None,
        other_ann_files: Sequence[str] = (),
        check_files: bool = True,
        **kwargs: Any,
    ) -> None:
        if kwargs.get('reduce_zero_label'):
            raise ValueError(
                'reduce_zero_label=True would ignore the background; use '
                'LoadBinaryMask(ignore_index=...) to ignore a value'
            )
        if kwargs.get('backend_args'):
            raise ValueError('BinaryMedicalDataset reads local files, it takes no backend_args')
        data_prefix = data_prefix or dict(img_path='images', seg_map_path='masks')
        data_prefix = {key: path for key, path in data_prefix.items() if path is not None}
        if 'img_path' not in data_prefix:
            raise ValueError(f'data_prefix needs img_path, got {data_prefix}')
        if 'seg_map_path' not in data_prefix and not kwargs.get('test_mode'):
            raise ValueError(
                'data_prefix has no seg_map_path: without masks only test_mode=True is possible'
            )
        if isinstance(other_ann_files, str):
            other_ann_files = (other_ann_files,)
        self.other_ann_files = tuple(other_ann_files)
        self.check_files = check_files
        self._whole: set[int] = set()  # indices of the samples that were decoded strictly
        super().__init__(
            ann_file=ann_file,
            img_suffix=img_suffix,
            seg_map_suffix=seg_map_suffix,
            data_prefix=data_prefix,
            **kwargs,
        )
        if len(self.metainfo['classes']) != 2:
            raise ValueError(
                'BinaryMedicalDataset has two classes, background first, got '
                f'{self.metainfo["classes"]}'
            )
        if 'seg_map_path' in data_prefix:
            warn_of_nearest(self.pipeline.transforms)

    @classmethod
    def get_label_map(cls, new_classes: Sequence | None = None) -> None:
        """Return None: renamed classes keep their labels, and masks are not labels yet."""
        return None

    def prepare_data(self, idx: int) -> Any:
        """Decode the files of a sample strictly, the first time, and run the pipeline."""
        if self.check_files and idx not in self._whole:
            info = self.get_data_info(idx)
            for key, is_mask in (('img_path', False), ('seg_map_path', True)):
                if info.get(key):
                    require_whole(info[key], is_mask)
            self._whole.add(idx)
        return super().prepare_data(idx)

    def load_data_list(self) -> list[dict]:
        """Resolve the names, check the files and return one dict per image."""
        folders = dict(img=self.data_prefix['img_path'])
        if 'seg_map_path' in self.data_prefix:
            folders['mask'] = self.data_prefix['seg_map_path']
        indices, problems = {}, []
        for kind, folder in folders.items():
            suffix = self.img_suffix if kind == 'img' else self.seg_map_suffix
            try:
                indices[kind] = FolderIndex(folder, suffix)
            except OSError as error:
                problems.append(str(error))
                continue
            for note in indices[kind].notes():
                warnings.warn(note, UserWarning, stacklevel=2)
        names = self._names(indices.get('img'), indices.get('mask'), problems)
        if len(indices) < len(folders) or not names:
            self._fail(problems)
        pairs = self._resolve(names, indices['img'], indices.get('mask'), problems)
        if self.check_files:
            problems += check_pairs(pairs)
        if problems:
            self._fail(problems)
        data_list: list[dict] = []
        for image, mask in pairs:
            info = dict(img_path=image, label_map=None, reduce_zero_label=False)
            data_list.append(info | dict(seg_fields=[]) | (dict(seg_map_path=mask) if mask else {}))
        return data_list

    def _names(
        self, images: FolderIndex | None, masks: FolderIndex | None, problems: list[str]
    ) -> list[str]:
        """Return the names of the list, or of the folder where there is none."""
        names: list[str] = []
        if self.ann_file:
            names = self._read(self.ann_file, problems)
            problems += [
                f'{self.ann_file}: the name {name!r} is there {n} times'
                for name, n in Counter(names).items()
                if n > 1
            ]
            names = list(dict.fromkeys(names))
        elif images is not None:
            names = images.names(masks)
            if not names:
                problems.append(
                    f'no image in {images.folder}'
                    + (f' ends with {images.suffix!r}' if images.suffix else '')
                )
        for other in self.other_ann_files:
            path = osp.join(self.data_root or '', other)
            others = {self._meant(name, images) for name in self._read(path, problems)}
            shared = sorted(name for name in names if self._meant(name, images) in others)
            if shared:
                warnings.warn(
                    f'{len(shared)} of {len(names)} names are in '
                    f'{self.ann_file or self.data_prefix["img_path"]} and in {path} too: '
                    f'{first_ten(shared)}',
                    UserWarning,
                    stacklevel=2,
                )
        return names

    @staticmethod
    def _meant(name: str, images: FolderIndex | None) -> str:
        """Return the image that a name means, or the name where that is not exactly one."""
        found = [] if images is None else images.find(name)
        return found[0] if len(found) == 1 else name

    @staticmethod
    def _read(path: str, problems: list[str]) -> list[str]:
        try:
            names = read_names(path)
        except FileNotFoundError:
            problems.append(f'no such list: {path}')
            return []
        except (OSError, ValueError) as error:
            problems.append(f'list {path}: unreadable ({error})')
            return []
        if not names:
            problems.append(f'list {path}: holds no name')
        return names

    @staticmethod
    def _resolve(
        names: list[str], images: FolderIndex, masks: FolderIndex | None, problems: list[str]
    ) -> list[tuple[str, str | None]]:
        """Return the pairs of files that the names mean."""
        pairs, seen = [], set()
        for name in names:
            image = _path(images, 'image', name, problems)
            mask = None if masks is None else _path(masks, 'mask', name, problems)
            if image is None or (masks is not None and mask is None):
                continue
            if image in seen:
                problems.append(f'the image {image} is named twice, the second time as {name!r}')
            elif image == mask:
                problems.append(f'{image} is image and mask at once; set seg_map_suffix')
            else:
                pairs.append((image, mask))
            seen.add(image)
        return pairs

    def _fail(self, problems: list[str]) -> None:
        raise DatasetFilesError(
            f'{len(problems)} problem{"s" if len(problems) > 1 else ""} with the files of '
            f'{self.ann_file or self.data_prefix["img_path"]}:{first_ten(problems, lines=True)}'
        )


def _path(index: FolderIndex, kind: str, name: str, problems: list[str]) -> str | None:
    """Return the one file that a name means."""
    found = index.find(name)
    if len(found) == 1:
        return osp.join(index.folder, found[0])
    if found:
        problems.append(f'{kind} of {name!r} is ambiguous in {index.folder}: ' + ', '.join(found))
    else:
        problems.append(f'{kind} missing: {index.wanted(name)}{index.hint(name)}')
    return None
