"""Weights & Biases as a logger that a run can do without: it may be away, hang, or break off."""

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

from lightning.pytorch.loggers import Logger, WandbLogger
from loguru import logger

from sam2_video.files import write_text
from sam2_video.training.folder import is_main_process

SECONDS_TO_ANSWER = 100.0
"""A little longer than the service's own patience, after which it says more."""
RUN_ID = Path("wandb", "run_id")


def why_no_wandb() -> str | None:
    """Return why Weights & Biases cannot be used; None where it can. It would ask for a key."""
    if find_spec("wandb") is None:
        return "the wandb package is not installed (pip install sam2-video-training[wandb])"
    if os.environ.get("WANDB_MODE") in ("offline", "disabled"):
        return None
    netrc = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    if "WANDB_API_KEY" not in os.environ and not (
        netrc.is_file() and "wandb" in netrc.read_text(errors="replace")
    ):
        return "nobody is logged in (wandb login, or WANDB_API_KEY)"
    return None


def start_wandb(output_dir: Path, project: str, *, is_resumed: bool) -> Logger | str:
    """Return the logger, or why its service does not take the run; a resumed run keeps its page."""
    import wandb  # pyright: ignore[reportMissingImports]  # an extra

    path = output_dir / RUN_ID
    is_known = is_resumed and path.is_file()
    run_id = path.read_text(encoding="utf-8").strip() if is_known else uuid4().hex[:8]
    outcome: list[str] = []
    try:
        log = SparableWandb(
            (wandb.Error, OSError),
            project=project,
            save_dir=str(output_dir),
            id=run_id,
            resume="allow",
        )
    except ModuleNotFoundError as error:
        return f"the wandb package cannot be used ({error})"

    def connect() -> None:
        try:
            # a wrong key or no network must come to light before hours of training
            _ = log.experiment
        except (wandb.Error, OSError, ImportError) as error:
            outcome.append(f"W&B cannot be reached ({error})")
        else:
            outcome.append("")

    thread = Thread(target=connect, daemon=True)
    thread.start()
    thread.join(SECONDS_TO_ANSWER)
    if thread.is_alive():
        return f"W&B has not answered in {SECONDS_TO_ANSWER:.0f} s"
    if not outcome or outcome[0]:
        return outcome[0] if outcome else "W&B has failed"
    if is_main_process():
        write_text(path, run_id + "\n")
    return log


class SparableWandb(WandbLogger):
    """Logs until the service is lost, which is said once; the run goes on.

    Args:
        failures: the errors by which it is lost.
        settings: Lightning's.
    """

    def __init__(self, failures: tuple[type[Exception], ...], **settings: Any) -> None:  # noqa: ANN401
        super().__init__(**settings)
        self._failures = failures
        self._is_lost = False

    def log_metrics(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Log metrics."""
        self._try(super().log_metrics, *args, **kwargs)

    def log_image(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Log pictures."""
        self._try(super().log_image, *args, **kwargs)

    def log_video(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Log movies."""
        self._try(super().log_video, *args, **kwargs)

    def finalize(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """End the page."""
        self._try(super().finalize, *args, **kwargs)

    def _try(self, act: Callable[..., None], *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        if self._is_lost:
            return
        try:
            act(*args, **kwargs)
        except self._failures as error:
            self._is_lost = True
            logger.warning(
                f"use_wandb: W&B is lost ({error}); the run goes on with TensorBoard and "
                "metrics.csv"
            )
