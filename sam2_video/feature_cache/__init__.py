"""Keep what a frozen image encoder says of frames, so that training need not compute it again."""

from sam2_video.feature_cache.fill import Encoder, Filled, Wanted, fill
from sam2_video.feature_cache.key import describe_files, hash_facts, hash_weights, readable
from sam2_video.feature_cache.rows import SUFFIX, EncodedRows, RowLayout
from sam2_video.feature_cache.stale import Stale, delete_stale, describe_stale, find_stale

__all__ = [
    "SUFFIX",
    "EncodedRows",
    "Encoder",
    "Filled",
    "RowLayout",
    "Stale",
    "Wanted",
    "delete_stale",
    "describe_files",
    "describe_stale",
    "fill",
    "find_stale",
    "hash_facts",
    "hash_weights",
    "readable",
]
