"""Draw a contact sheet of a checkpoint's predictions: see ``condseg evaluate --sheet``, too."""

import sys

from condseg_mmseg.cli.contact_sheet import main

if __name__ == '__main__':
    sys.exit(main())
