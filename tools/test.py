"""Test a segmentor: runs tools/test.py of the installed MMSegmentation with these arguments.

One argument is ours, ``--fuse-conv-bn``: it becomes a ``--cfg-options`` of mmseg's script.
"""

import sys

from condseg_mmseg.utils.mmseg_scripts import run_script

FLAG = '--fuse-conv-bn'
OPTION = 'default_hooks.fuse.type=FuseConvBNHook'
HELP = f"""\

added by this script:
  {FLAG}        fold BatchNorm into the convolutions before testing: the same scores up to
                        rounding, faster; short for --cfg-options {OPTION}"""


def translate(argv: list[str]) -> list[str]:
    """Replace the flag by its option; mmengine merges it with other ``--cfg-options``."""
    if FLAG not in argv:
        return argv
    return [arg for arg in argv if arg != FLAG] + ['--cfg-options', OPTION]


def main() -> None:
    """Run mmseg's script."""
    if FLAG in sys.argv:
        sys.argv[1:] = translate(sys.argv[1:])
        import condseg_mmseg  # noqa: F401 - a config that does not import it lacks the hook
    try:
        run_script('test.py')
    except SystemExit:
        if {'-h', '--help'} & set(sys.argv):
            print(HELP)
        raise


if __name__ == '__main__':
    main()
