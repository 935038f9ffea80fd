"""Auxiliary head that supervises SID's three maps during training."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from mmseg.utils import ConfigType, SampleList
from torch import Tensor, nn

from ..layers import recompute, resize_to
from ..layers.defaults import BN, RELU
from ..losses.labels import check_labels, foreground_labels


class SIDBranch(BaseModule):
    """One SID map to one logit map: CBR, then [resize x2, CBR] ..., then a 1x1 convolution.

    Args:
        in_channels: Channels of the map.
        channels: Width of each CBR; between two of them the map grows by 2. The last CBR of the
            released network, like the others, is 3x3.
        align_corners: For the resize. Default True.
        norm_cfg: Normalisation. Default BN.
        act_cfg: Activation. Default ReLU.
        init_cfg: mmengine's. Default None.

    Shapes:
        input (N, in_channels, h, w), output (N, 1, 2^(len(channels)-1) h, 2^(len(channels)-1) w).
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        align_corners: bool = True,
        norm_cfg: dict = BN,
        act_cfg: dict = RELU,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.align_corners = align_corners
        widths = (in_channels, *channels)
        self.convs = nn.ModuleList(
            ConvModule(a, b, 3, padding=1, norm_cfg=norm_cfg, act_cfg=act_cfg)
            for a, b in pairwise(widths)
        )
        self.conv_seg = nn.Conv2d(widths[-1], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Decode ``x`` (N, in_channels, h, w)."""
        x = self.convs[0](x)
        for conv in self.convs[1:]:
            twice = [2 * side for side in x.shape[-2:]]
            x = conv(resize_to(x, twice, self.align_corners))
        return self.conv_seg(x)


@MODELS.register_module()
class SIDHead(BaseModule):
    """Supervise foreground, background and uncertainty maps (training only).

    It is the ``auxiliary_head`` after :class:`CDFANeck` with ``sid_outputs=True``, whose last three
    outputs it reads. mmseg never calls it in prediction. Paper, section "Semantic Information
    Decoupling".

    It is no mmseg ``BaseDecodeHead``: it has three logit maps instead of one, its losses couple
    them, and so it has no ``conv_seg``, ``threshold``, ``sampler``, ``in_index`` and ``predict``.
    mmseg calls ``loss`` only, which has the arguments of a ``BaseDecodeHead``.

    Args:
        in_channels: Channels C of fg, bg and uc. Default 128.
        channels: Widths of each branch, one x2 up-sampling between two of them. Default
            ``(256, 256, 128, 64, 64)`` (stride 16; the PVT variant has ``(128, 128, 128, 64, 64,
            32)``).
        num_classes: Classes with the background, 2 or more. Default 2.
        foreground_classes: Class indices whose union is the foreground. Default None, every class
            but 0.
        ignore_index: Label that counts nowhere. Default 255.
        background_target: 'complement' (1 - Y of the augmented mask) or 'stored' (the mask that
            ``KeepBackgroundMask`` kept before the augmentation, as the released code; soft or not
            like the labels). Default 'complement'.
        loss_decode: Default ``dict(type='SIDLoss')``.
        align_corners: For every resize. Default True.
        with_cp: Whether the maps inside each branch are computed again in the backward pass
            instead of being kept. Default False.
        norm_cfg: Normalisation. Default BN.
        act_cfg: Activation. Default ReLU.
        init_cfg: mmengine's. Default None.

    Shapes:
        fg, bg, uc (N, C, h, w); logits, each (N, 1, 2^(len(channels)-1) h, ...).

    Raises:
        ValueError: ``foreground_classes`` outside the classes, an unknown ``background_target``,
            inputs without fg, bg, uc, or samples without a stored mask of the label's size and
            kind.
    """

    def __init__(
        self,
        in_channels: int = 128,
        channels: Sequence[int] = (256, 256, 128, 64, 64),
        num_classes: int = 2,
        foreground_classes: Sequence[int] | None = None,
        ignore_index: int = 255,
        background_target: str = 'complement',
        loss_decode: dict | None = None,
        align_corners: bool = True,
        with_cp: bool = False,
        norm_cfg: dict = BN,
        act_cfg: dict = RELU,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if num_classes < 2:
            raise ValueError(
                f'num_classes counts the background and is 2 or more, got {num_classes}'
            )
        foreground = tuple(
            range(1, num_classes) if foreground_classes is None else foreground_classes
        )
        if not foreground or not all(0 <= i < num_classes for i in foreground):
            raise ValueError(
                f'foreground_classes must be class indices below num_classes={num_classes}, '
                f'got {foreground}'
            )
        if background_target not in ('complement', 'stored'):
            raise ValueError(
                f"background_target must be 'complement' or 'stored', got {background_target!r}"
            )
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.background_target = background_target
        self.foreground_classes = foreground
        self.ignore_index = ignore_index
        self.align_corners = align_corners
        self.with_cp = with_cp
        cfg: dict[str, Any] = {
            'align_corners': align_corners,
            'norm_cfg': norm_cfg,
            'act_cfg': act_cfg,
        }
        self.foreground = SIDBranch(in_channels, channels, **cfg)
        self.background = SIDBranch(in_channels, channels, **cfg)
        self.uncertainty = SIDBranch(in_channels, channels, **cfg)
        self.loss_decode = MODELS.build(loss_decode or {'type': 'mmseg.SIDLoss'})

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logit maps of fg, bg and uc, the last three of ``inputs``."""
        maps = tuple(inputs[-3:])
        if len(inputs) < 4 or any(
            m.shape != maps[0].shape or m.shape[1] != self.in_channels for m in maps
        ):
            raise ValueError(
                f'SIDHead reads fg, bg, uc of {self.in_channels} channels from the end of its '
                f'inputs, got shapes {[tuple(x.shape) for x in inputs]}: set sid_outputs=True in '
                'CDFANeck, and sid_in_eval=True where it is called in eval mode'
            )
        branches = self.foreground, self.background, self.uncertainty
        fg, bg, uc = (
            recompute(branch, x, with_cp=self.with_cp)
            for branch, x in zip(branches, maps, strict=True)
        )
        return fg, bg, uc

    def loss(
        self, inputs: Sequence[Tensor], batch_data_samples: SampleList, train_cfg: ConfigType
    ) -> dict[str, Tensor]:
        """Compute the losses of method section "Stage 2" on logits resized to the labels.

        Args:
            inputs: Outputs of the neck, fg, bg, uc last.
            batch_data_samples: Samples with ``gt_sem_seg`` (1, H, W): class indices or, for two
                classes, floating values in [0, 1]; 255 ignored.
            train_cfg: Unused; mmseg's signature.

        Returns:
            ``loss_fg``, ``loss_bg``, ``loss_comp`` and the detached ``beta_fg``, ``beta_bg``.
        """
        label = torch.stack([sample.gt_sem_seg.data for sample in batch_data_samples])
        check_labels(label, self.num_classes, self.ignore_index)
        label = foreground_labels(label.squeeze(1), self.foreground_classes, self.ignore_index)
        size = label.shape[-2:]
        logits = [resize_to(x, size, self.align_corners) for x in self.forward(inputs)]
        background = None
        if self.background_target == 'stored':
            background = self._stored_background(batch_data_samples, label)
        return self.loss_decode(*logits, label, background, ignore_index=self.ignore_index)

    def _stored_background(self, samples: SampleList, label: Tensor) -> Tensor:
        masks = [sample.metainfo.get('background_mask') for sample in samples]
        if any(mask is None or mask.shape != label.shape[1:] for mask in masks):
            found = [None if mask is None else tuple(mask.shape) for mask in masks]
            raise ValueError(
                "background_target='stored' needs a background_mask of the size of the mask, "
                f'{tuple(label.shape[1:])}, in every sample, got {found}: put KeepBackgroundMask '
                'after the resize and background_mask among the meta_keys of PackSegInputs, or use '
                'PackSoftSegInputs, which does both; the data preprocessor must not pad'
            )
        stored = torch.stack([torch.as_tensor(mask) for mask in masks])
        if stored.is_floating_point() and not label.is_floating_point():
            raise ValueError(
                'the stored background_mask is soft, the mask is not: use PackSoftSegInputs, or '
                'LoadBinaryMask in place of LoadSoftMask'
            )
        check_labels(stored, 2, self.ignore_index)
        return stored.to(label)
