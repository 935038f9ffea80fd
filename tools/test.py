"""Test a segmentor: runs tools/test.py of the installed MMSegmentation with these arguments."""

from _mmseg_script import run_script

if __name__ == '__main__':
    run_script('test.py')
