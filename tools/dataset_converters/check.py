"""`condseg check`."""

import sys

from condseg_mmseg.cli import main

if __name__ == '__main__':
    sys.exit(main(['check', *sys.argv[1:]]))
