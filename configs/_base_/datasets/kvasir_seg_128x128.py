# As kvasir_seg_160x160.py, batches of 8 included, at the size at which 7 x 7 windows in CDFA fit.
_base_ = './kvasir_seg_160x160.py'
from condseg_mmseg.configs import at_size  # noqa: E402

globals().update(at_size(_base_, (128, 128)))  # img_size, pipelines, dataloaders
