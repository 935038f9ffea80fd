"""``python -m condseg_mmseg`` is the command ``condseg``, also for torchrun."""

import sys

from .cli import main

if __name__ == '__main__':
    sys.exit(main())
