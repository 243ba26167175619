"""Files of a feature cache that a configuration does not use: how many, how large, and no more."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from sam2_video.feature_cache.progress import as_bytes
from sam2_video.feature_cache.rows import SUFFIX


@dataclass(frozen=True)
class Stale:
    """Files of features that are not used, by their paths; no other files are ever among them."""

    paths: tuple[Path, ...]
    num_bytes: int


def find_stale(root: Path, used: Collection[Path]) -> Stale:
    """Return the files of features below a folder that are not among those used.

    Other weights, another size, frames that have changed, or that a killed process left half done;
    or another run's.
    """
    known = {path.absolute() for path in used}
    found = [path for path in sorted(root.rglob(f"*{SUFFIX}")) if path.absolute() not in known]
    return Stale(tuple(found), sum(path.stat().st_size for path in found))


def describe_stale(root: Path, stale: Stale) -> None:
    """Say how much is not used, and how to delete it."""
    if stale.paths:
        logger.info(
            f"dataset.feature_cache: {len(stale.paths)} files, {as_bytes(stale.num_bytes)}, in "
            f"{root} are not of this configuration (other weights or settings, or frames that have "
            "changed); `sam2-video cache --config FILE --delete-stale` deletes them, also where "
            "another run uses them"
        )


def delete_stale(stale: Stale) -> None:
    """Delete files that are not used, and say so."""
    for path in stale.paths:
        path.unlink(missing_ok=True)
    if stale.paths:
        logger.info(
            f"dataset.feature_cache: {len(stale.paths)} files deleted, {as_bytes(stale.num_bytes)}"
        )
