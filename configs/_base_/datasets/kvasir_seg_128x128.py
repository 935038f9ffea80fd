# As kvasir_seg_160x160.py, at the size at which windows of 7 x 7 in CDFA fit too.
_base_ = './kvasir_seg_160x160.py'
from condseg_mmseg.configs import at_size  # noqa: E402

globals().update(at_size(_base_, (128, 128)))  # img_size, pipelines, dataloaders
