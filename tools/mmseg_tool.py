"""Run any script of the installed MMSegmentation, e.g.

python tools/mmseg_tool.py analysis_tools/get_flops.py CONFIG --shape 256 256
python tools/mmseg_tool.py analysis_tools/browse_dataset.py CONFIG --output-dir DIR
python tools/mmseg_tool.py misc/print_config.py CONFIG
python tools/mmseg_tool.py analysis_tools/analyze_logs.py LOG.json --keys loss   (needs seaborn)

Without arguments it lists them.
"""

import sys

from condseg_mmseg.utils.mmseg_scripts import mmseg_dir, run_script, tools_dirs


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] in ('-h', '--help'):
        print(__doc__)
        names = {
            str(script.relative_to(place))
            for place in tools_dirs(mmseg_dir())
            for script in place.rglob('*.py')
        }
        print('\n'.join(sorted(names)))
        return
    name = sys.argv[1]
    del sys.argv[:1]  # the script sees itself as argv[0]
    run_script(name)


if __name__ == '__main__':
    main()
