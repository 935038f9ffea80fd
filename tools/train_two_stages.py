"""Train both stages: `condseg train STAGE1_CONFIG STAGE2_CONFIG`, under an older path."""

import sys

from _package import condseg

if __name__ == '__main__':
    sys.exit(condseg('train'))
