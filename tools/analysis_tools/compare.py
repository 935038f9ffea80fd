"""Compare two runs image by image: ``condseg compare``."""

import sys

from condseg_mmseg.cli import main

if __name__ == '__main__':
    sys.exit(main(['compare', *sys.argv[1:]]))
