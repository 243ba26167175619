"""The verb `cache`: encode the training frames of a configuration once, before training."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sam2_video.cli.verbs import USAGE_ERROR, parse, report_errors


@dataclass(frozen=True)
class CacheFlags:
    """Flags of `cache`."""

    config: str
    """the YAML file of the training; its dataset.feature_cache names the folder"""
    feature_cache: str | None = None
    """another folder than the file's"""
    delete_stale: bool = False
    """delete all features in the folder that this configuration does not use: those of other
    weights or settings, or of frames that have changed; also where another run uses them"""
    debug: bool = False
    """show where an error came from"""


def run_cache(argv: Sequence[str], program: str = "sam2-video cache") -> int:
    """Fill the cache as the command line says; return the exit code."""
    summary = "Encode the training frames once, so that training reads no image."
    flags = parse(argv, program, CacheFlags, summary)
    # late: help needs neither
    from sam2_video.configuration import ConfigurationError, load_config

    overrides = (
        {} if flags.feature_cache is None else {"dataset.feature_cache": flags.feature_cache}
    )
    try:
        config = load_config(Path(flags.config), overrides, ready_to_train=True)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return USAGE_ERROR

    def act() -> None:
        # torch takes seconds, and a wrong setting needs it not
        from sam2_video.feature_cache.progress import as_bytes, as_time
        from sam2_video.training.cache import cache

        made = cache(config, deletes_stale=flags.delete_stale)
        print(
            f"{made.folder}: {as_bytes(made.num_bytes)} of features of {made.num_frames:,} frames "
            f"of {made.num_videos} videos; {made.num_encoded:,} encoded in {as_time(made.seconds)}"
        )

    return report_errors(act, is_debug=flags.debug)
