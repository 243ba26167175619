"""Score folders of predicted masks against folders of true ones, without any model."""

from sam2_video.scoring.protocol import PROTOCOLS, Protocol, ProtocolName
from sam2_video.scoring.report import (
    LeftOut,
    ScoreReport,
    VideoScores,
    table,
    write_csv,
    write_json,
)
from sam2_video.scoring.run import score

__all__ = [
    "PROTOCOLS",
    "LeftOut",
    "Protocol",
    "ProtocolName",
    "ScoreReport",
    "VideoScores",
    "score",
    "table",
    "write_csv",
    "write_json",
]
