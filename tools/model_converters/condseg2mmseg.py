"""Turn a published ConDSeg checkpoint into one for our configs: ``condseg convert``."""

import sys

from condseg_mmseg.cli import main

if __name__ == '__main__':
    sys.exit(main(['convert', *sys.argv[1:]]))
