"""The demo: `condseg demo`, under an older path."""

import sys

from _package import condseg

if __name__ == '__main__':
    sys.exit(condseg('demo'))
