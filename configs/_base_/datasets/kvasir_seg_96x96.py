# As kvasir_seg_160x160.py, at the size of the ablation on a machine without a GPU.
_base_ = './kvasir_seg_160x160.py'
from condseg_mmseg.configs import at_size  # noqa: E402

globals().update(at_size(_base_, (96, 96)))  # img_size, pipelines, dataloaders
