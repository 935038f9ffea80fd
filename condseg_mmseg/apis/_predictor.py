"""A model that is loaded once and predicts images of any size."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from ..evaluation.uncertainty import KINDS, uncertainty
from ..models.layers import resize_to
from ..models.segmentors.prediction import predicting_head, without_padding
from ..utils.errors import UserError
from ..visualization.contact_sheet import has_sid, sid_maps
from ._reader import Reader, View, inference_pipeline

AT_ONCE = 2**26
"""Values that are resized at once; larger maps are resized in strips, which bounds the memory."""


@dataclass(frozen=True)
class Prediction:
    """What a model says of an image, at the size at which the image is displayed.

    Attributes:
        mask: Label of every pixel, (H, W) uint8; of a binary model 0 and 1 (foreground).
        probability: (H, W) float32. Of a binary model that of the foreground, of one with several
            classes that of the label.
        uncertainty: (H, W) float32 in 0..1, None unless asked for.
    """

    mask: np.ndarray
    probability: np.ndarray
    uncertainty: np.ndarray | None = None


BATCH = 8
"""Images of a batch whose size is not given, fewer where it would exceed :data:`BATCH_VALUES`."""

BATCH_VALUES = BATCH * 3 * 512 * 512
"""Values of the inputs, or of the logits, of such a batch: eight RGB images of 512 x 512."""


class Predictor:
    """Models of one config, whose probabilities are averaged.

    Args:
        models: Segmentors in eval mode, with ``cfg``.
        tta: Average over the views of ``tta_pipeline``. Default False.
        slide: Side of a square window and its stride, in pixels of the image, which is not resized
            then. Default None: as the config says.
        uncertainty: Kind of uncertainty, see :func:`.uncertainty`. Default None: none.

    Raises:
        UserError: An option that the models cannot serve.
    """

    def __init__(
        self,
        models: Sequence[Any],
        *,
        tta: bool = False,
        slide: tuple[int, int] | None = None,
        uncertainty: str | None = None,
    ) -> None:
        self.models = list(models)
        self.model = model = self.models[0]
        cfg = model.cfg
        init_default_scope(cfg.get('default_scope', 'mmseg'))
        if slide is not None and not 0 < slide[1] <= slide[0]:
            raise UserError(f'--slide needs 0 < stride <= size, got {slide[0]} {slide[1]}')
        if uncertainty not in (None, *KINDS):
            raise UserError(f'--uncertainty must be one of {KINDS}, got {uncertainty!r}')
        if uncertainty == 'sid' and (tta or slide):
            raise UserError('--uncertainty sid does not work with --tta or --slide')
        if uncertainty == 'sid' and not all(map(has_sid, self.models)):
            raise UserError('--uncertainty sid needs a SID head: take --uncertainty entropy')
        self.slide, self.kind, self.tta = slide, uncertainty, tta
        self.pipeline = inference_pipeline(cfg, tta, keep_size=slide is not None)
        self.read = Reader(self.pipeline)
        if slide is not None:
            window = dict(mode='slide', crop_size=[slide[0]] * 2, stride=[slide[1]] * 2)
            for one in self.models:
                one.test_cfg = ConfigDict(window)
        self.channels: int = model.out_channels
        self.threshold = 0.5  # on the probability, of one channel
        if self.channels == 1:
            self.threshold = predicting_head(model).threshold
        self.classes, self.palette = _classes(model)
        self.foreground = _foreground(self.classes)
        if len(self.classes) > 256:
            raise UserError(f'{len(self.classes)} classes: a mask holds 256 at most')

    def settings(self) -> dict[str, Any]:
        """What its predictions depend on: hashes of weights, network, pipeline, and options."""
        network = repr((self.model.cfg.model, self.pipeline))
        return dict(
            weights=[_hash_weights(model) for model in self.models],
            network=hashlib.sha256(network.encode()).hexdigest(),
            tta=self.tta,
            slide=list(self.slide) if self.slide else None,
            uncertainty=self.kind,
        )

    def batches(self, items: Iterable[Any], size: int | None = None) -> Iterator[list[Any]]:
        """Collect items, whose ``views`` fit into one batch, up to ``size`` of them.

        Args:
            items: They have ``views``.
            size: Default None: :data:`BATCH`, fewer where large inputs or many classes would take
                much memory.
        """
        batch: list[Any] = []
        for item in items:
            shapes = [view.inputs.shape for view in item.views]
            pixels = max(height * width for _, height, width in shapes)
            values = pixels * max(3, self.channels)
            most = size or max(1, min(BATCH, BATCH_VALUES // values))
            if batch and (len(batch) == most or shapes != [v.inputs.shape for v in batch[0].views]):
                yield batch
                batch = []
            batch.append(item)
        if batch:
            yield batch

    @torch.no_grad()
    def predict(self, images: Sequence[Sequence[View]]) -> Iterator[Prediction]:
        """Predict images of one batch, one after the other.

        Args:
            images: The views of each image, as ``read`` returns them; shapes agree over images.

        Yields:
            One prediction an image.
        """
        members: list[list[Tensor]] = [[] for _ in images]  # of each image, (C, h, w)
        for model in self.models:
            for number in range(len(images[0])):
                same = [views[number] for views in images]
                for maps, logits in zip(members, self._logits(model, same), strict=True):
                    maps.append(logits)
        for views, maps in zip(images, members, strict=True):
            yield self._prediction(views[0], maps)

    def batch(self, model: Any, views: Sequence[View]) -> dict[str, Any]:
        """Preprocess views of one shape as mmseg does, and keep their meta information.

        Args:
            model: One of ``models``.
            views: Of one shape.

        Returns:
            ``inputs`` (N, 3, H, W) and ``data_samples``.
        """
        # mmseg would log that the images of a batch differ in their original sizes
        metas = [dict(view.meta, ori_shape=view.meta['img_shape']) for view in views]
        samples = [SegDataSample(metainfo=meta) for meta in metas]
        inputs = [torch.from_numpy(view.inputs) for view in views]
        return model.data_preprocessor(dict(inputs=inputs, data_samples=samples), False)

    def _logits(self, model: Any, views: Sequence[View]) -> Iterator[Tensor]:
        """Logits (C, h, w) of each view, without padding, flipped back."""
        data = self.batch(model, views)
        metas = [sample.metainfo for sample in data['data_samples']]
        maps = model.inference(data['inputs'], copy.deepcopy(metas))
        for logits, meta in zip(maps, metas, strict=True):
            logits = without_padding(logits, meta)
            if meta.get('flip'):
                logits = logits.flip(2 if meta['flip_direction'] == 'horizontal' else 1)
            yield logits

    def _prediction(self, view: View, members: Sequence[Tensor]) -> Prediction:
        size = view.meta['ori_shape'][:2]
        parts = [self._strip(members, size, rows) for rows in _strips(size, self.channels)]
        mask, probability, unsure = (_joined(part) for part in zip(*parts, strict=True))
        if self.kind == 'sid':
            unsure = self._sid(view, size)
        assert mask is not None
        assert probability is not None
        return Prediction(mask, probability, unsure)

    def _strip(
        self, members: Sequence[Tensor], size: tuple[int, int], rows: range
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Mask, probability and uncertainty of some rows of the image."""
        mean, labels = None, None
        for member in members:
            logits = _resized(member, size, rows, self.model.align_corners)
            if len(members) == 1 and self.channels > 1:
                labels = logits.argmax(0)  # as mmseg: equal probabilities may differ as logits
            part = logits.sigmoid() if self.channels == 1 else logits.softmax(0)
            mean = part if mean is None else mean.add_(part)
        assert mean is not None
        mean = mean if len(members) == 1 else mean.div_(len(members))
        if self.channels == 1:
            labels, probability = mean[0] > self.threshold, mean[0]
        else:
            labels = mean.argmax(0) if labels is None else labels
            probability = mean[1] if self.channels == 2 else mean.amax(0)
        unsure = _numpy(uncertainty('entropy', mean)) if self.kind == 'entropy' else None
        return _numpy(labels.to(torch.uint8)), _numpy(probability), unsure

    def _sid(self, view: View, size: tuple[int, int]) -> np.ndarray:
        inputs = torch.from_numpy(view.inputs)
        total = np.zeros(size, np.float32)
        for model in self.models:
            data = dict(inputs=[inputs], data_samples=[SegDataSample(metainfo=view.meta)])
            shape = (inputs.shape[1], inputs.shape[2])
            first, second = map(torch.from_numpy, sid_maps(model, data, shape)[:2])
            unsure = uncertainty('sid', first, second).numpy()
            total += cv2.resize(unsure, size[::-1], interpolation=cv2.INTER_LINEAR)
        return total / len(self.models)


def _joined(parts: Sequence[Any]) -> Any:
    return parts[0] if len(parts) == 1 or parts[0] is None else np.concatenate(parts)


def _strips(size: tuple[int, int], channels: int) -> Iterator[range]:
    height, width = size
    step = max(1, AT_ONCE // (channels * width))
    return (range(top, min(top + step, height)) for top in range(0, height, step))


def _resized(maps: Tensor, size: tuple[int, int], rows: range, align_corners: bool) -> Tensor:
    """Rows of the maps (C, h, w), resized bilinearly to ``size``."""
    height, width = size
    if len(rows) == height:
        return resize_to(maps[None], size, align_corners)[0]
    h = maps.shape[1]
    wide = resize_to(maps[None], (h, width), align_corners)[0]
    y = torch.arange(rows.start, rows.stop, dtype=torch.float64, device=maps.device)
    y = y * (h - 1) / (height - 1) if align_corners else (y + 0.5) * h / height - 0.5
    y = y.clamp(0, h - 1)
    upper = y.long()
    share = (y - upper).to(maps.dtype)[:, None]
    return torch.lerp(wide[:, upper], wide[:, (upper + 1).clamp(max=h - 1)], share)


def _numpy(maps: Tensor) -> np.ndarray:
    return maps.cpu().numpy()


def _hash_weights(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _classes(model: Any) -> tuple[list[str], list[list[int]]]:
    """Names and colours: of the model, else of the data set of its config, else made up."""
    number = max(2, model.out_channels)
    meta = dict(getattr(model, 'dataset_meta', None) or {})
    if not meta:
        settings = (model.cfg.get('test_dataloader') or {}).get('dataset', {})
        kind = DATASETS.get(settings.get('type')) if settings.get('type') else None
        meta = dict(getattr(kind, 'METAINFO', {}), **settings.get('metainfo', {}))
    classes, palette = list(meta.get('classes') or ()), list(meta.get('palette') or ())
    if len(classes) != number:
        classes = ['background', *(f'class {i}' for i in range(1, number))]
    if len(palette) != number:
        shades = np.linspace(0, 255, number).astype(np.uint8)
        colours = cv2.applyColorMap(shades[:, None], cv2.COLORMAP_TURBO)[:, 0, ::-1]
        palette = [[0, 0, 0], *colours[1:].tolist()]
    return classes, palette


def _foreground(classes: Sequence[str]) -> tuple[int, ...]:
    """All labels but the background's: 0 of two classes, or a class 0 of that name."""
    background = len(classes) == 2 or classes[0].strip('_').lower() in ('background', 'bg')
    return tuple(range(int(background), len(classes)))
