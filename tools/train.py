"""Train a segmentor: runs tools/train.py of the installed MMSegmentation with these arguments."""

from _package import mmseg_script

if __name__ == '__main__':
    mmseg_script('train.py')
