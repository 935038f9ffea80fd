"""mmseg's preprocessor, with a second view of each training image."""

from collections.abc import Sequence
from typing import Any

from mmseg.models import SegDataPreProcessor
from mmseg.registry import MODELS
from torch import Tensor

from ...utils.draws import Draw
from .strong_view import StrongView


@MODELS.register_module()
class TwoViewSegDataPreProcessor(SegDataPreProcessor):
    """Add ``strong_inputs``, a view of changed colours and sharpness, to each training batch.

    For :class:`ConsistencyReinforcement` (paper, stage 1). The view is made from the finished
    batch, on its device: mean and std are undone, :class:`StrongView` changes the image in [0, 1],
    and it is normalised again. Geometry is the clean view's, so one mask serves both. Outside of
    training the batch is mmseg's own. Needs the extra ``consistency`` (kornia).

    Args:
        strong_view: Arguments of :class:`StrongView`. Default None: its defaults.
        channel_order: Order of the channels in which the colour functions see the image: 'rgb', or
            'bgr' as in the released code, where hue, saturation and gray take red for blue. The
            network's own order does not matter. Default 'rgb'.
        bgr_to_rgb: As mmseg's. Without it the network reads BGR, as mmcv loads. Default False.
        **kwargs: The other arguments of mmseg's ``SegDataPreProcessor``.

    Shapes:
        inputs and strong_inputs (N, 3, H, W).

    Raises:
        ImportError: kornia is missing.
        ValueError: Another ``channel_order``, images without three channels, or smaller than half
            the blur's kernel.
    """

    def __init__(
        self,
        *,
        strong_view: dict | None = None,
        channel_order: str = 'rgb',
        bgr_to_rgb: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(bgr_to_rgb=bgr_to_rgb, **kwargs)
        if channel_order not in ('rgb', 'bgr'):
            raise ValueError(f"channel_order must be 'rgb' or 'bgr', got {channel_order!r}")
        self.strong_view = StrongView(**(strong_view or {}))
        self.channel_order = channel_order
        self._swap = channel_order != ('rgb' if bgr_to_rgb else 'bgr')

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """Prepare a batch.

        Args:
            data: ``inputs`` and ``data_samples`` of the dataloader.
            training: Whether to add the strong view. Default False.

        Returns:
            ``inputs`` and ``data_samples`` as mmseg's, in training ``strong_inputs`` too.
        """
        batch = super().forward(data, training)
        if training:
            samples = batch['data_samples'] or ()
            draws = [sample.draw for sample in samples if 'draw' in sample]
            known = len(draws) == len(batch['inputs'])
            batch['strong_inputs'] = self.strong_inputs(batch['inputs'], draws if known else None)
        return batch

    def strong_inputs(self, inputs: Tensor, draws: Sequence[Draw] | None = None) -> Tensor:
        """Make the strong view of a normalised batch.

        Args:
            inputs: (N, 3, H, W), as the network reads it.
            draws: As of :class:`StrongView`. Default None.

        Returns:
            (N, 3, H, W), normalised likewise.
        """
        height, width = self.strong_view.min_size
        if inputs.shape[1] != 3 or inputs.shape[2] < height or inputs.shape[3] < width:
            raise ValueError(
                f'the strong view needs images of 3 channels and at least {height} x {width} '
                f'pixels, got a batch of shape {tuple(inputs.shape)}'
            )
        mean, std = (self.mean, self.std) if self._enable_normalize else (0.0, 1.0)
        x = (inputs.float() * std + mean) / 255
        x = x.flip(1) if self._swap else x
        x = self.strong_view(x, draws)
        x = x.flip(1) if self._swap else x
        return (x * 255 - mean) / std
