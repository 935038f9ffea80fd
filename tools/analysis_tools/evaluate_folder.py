"""Score a folder of predicted masks or probability maps: ``condseg evaluate``."""

import sys

from condseg_mmseg.cli import main

if __name__ == '__main__':
    sys.exit(main(['evaluate', *sys.argv[1:]]))
