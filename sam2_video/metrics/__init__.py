"""How good masks are: region similarity J, boundary accuracy F, and what is made of them."""

from sam2_video.metrics.frame import FrameScore, boundary_radius, score_frame
from sam2_video.metrics.objects import ObjectScores, ObjectSummary
from sam2_video.metrics.region import RegionSimilarity, region_similarity
from sam2_video.metrics.region_and_boundary import RegionAndBoundary
from sam2_video.metrics.summary import Scores, mean_scores

__all__ = [
    "FrameScore",
    "ObjectScores",
    "ObjectSummary",
    "RegionAndBoundary",
    "RegionSimilarity",
    "Scores",
    "boundary_radius",
    "mean_scores",
    "region_similarity",
    "score_frame",
]
