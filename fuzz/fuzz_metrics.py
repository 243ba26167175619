"""The table of a run, metrics.csv."""

from fuzz.harness import Target, fuzz
from sam2_video.training.metrics_log import MetricsCsv

if __name__ == "__main__":
    fuzz(
        "metrics",
        Target(
            lambda path: MetricsCsv(path, 3),
            lambda: [b"step,epoch,loss\n1,0,0.5\n2,0,\n3,1,nan\n", b'step,"a\nb"\n1,2,3\n'],
            "metrics.csv",
        ),
    )
