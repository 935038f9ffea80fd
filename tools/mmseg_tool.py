"""Run any script of the installed MMSegmentation, e.g.

python tools/mmseg_tool.py analysis_tools/get_flops.py CONFIG --shape 256 256
python tools/mmseg_tool.py analysis_tools/browse_dataset.py CONFIG --output-dir DIR
python tools/mmseg_tool.py misc/print_config.py CONFIG
python tools/mmseg_tool.py analysis_tools/analyze_logs.py LOG.json --keys loss   (needs seaborn)

Without arguments it lists them.
"""

import sys

from _package import list_mmseg_scripts, mmseg_script

if __name__ == '__main__':
    if len(sys.argv) < 2 or sys.argv[1] in ('-h', '--help'):
        print(__doc__)
        print('\n'.join(list_mmseg_scripts()))
    else:
        mmseg_script(sys.argv.pop(1))
