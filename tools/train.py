"""Train a segmentor: runs tools/train.py of the installed MMSegmentation with these arguments."""

from condseg_mmseg.utils.mmseg_scripts import run_script

if __name__ == '__main__':
    run_script('train.py')
