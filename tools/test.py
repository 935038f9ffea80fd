"""Test a segmentor: runs tools/test.py of the installed MMSegmentation with these arguments.

One argument is ours, ``--fuse-conv-bn``: it becomes a ``--cfg-options`` of mmseg's script.
"""

import sys

from _package import mmseg_script

HELP = """
added by this script:
  --fuse-conv-bn        fold BatchNorm into the convolutions before testing: the same scores up to
                        rounding, faster; short for --cfg-options
                        default_hooks.fuse.type=FuseConvBNHook"""


if __name__ == '__main__':
    try:
        mmseg_script('test.py')
    except SystemExit:
        if {'-h', '--help'} & set(sys.argv):
            print(HELP)
        raise
