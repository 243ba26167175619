"""Train SAM 2's memory: the same as `sam2-video train`."""

import sys

from sam2_video.cli.fresh_process import start_again_for_memory
from sam2_video.cli.train import run_train

if __name__ == "__main__":
    start_again_for_memory()
    sys.exit(run_train(sys.argv[1:], "python train.py"))
