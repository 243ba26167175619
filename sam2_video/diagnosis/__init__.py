"""Say before training what is wrong with a machine, and whether a configuration fits into it."""

from sam2_video.diagnosis.faults import Fault
from sam2_video.diagnosis.fit import Fit, Option
from sam2_video.diagnosis.machine import Gpu, Machine
from sam2_video.diagnosis.report import Diagnosis, diagnose

__all__ = ["Diagnosis", "Fault", "Fit", "Gpu", "Machine", "Option", "diagnose"]
