"""The report of a run: one HTML page, made of nothing but the run's folder."""

from sam2_video.report.page import write_report

__all__ = ["write_report"]
