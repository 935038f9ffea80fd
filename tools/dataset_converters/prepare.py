"""`condseg prepare`."""

import sys

from condseg_mmseg.cli import main

if __name__ == '__main__':
    sys.exit(main(['prepare', *sys.argv[1:]]))
