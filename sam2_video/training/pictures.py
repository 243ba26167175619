"""When a run draws its data, its clips, its curves and its validation videos."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from lightning.pytorch import Callback, LightningModule, Trainer

from sam2_video.config import PromptConfig
from sam2_video.data.datamodule import ClipDataModule
from sam2_video.data.video import Video
from sam2_video.structures import ClipBatch
from sam2_video.training.callbacks import BestWeights
from sam2_video.training.data_summary import (
    MOST_TRAINING,
    MOST_VALIDATION,
    choose_videos,
    look_at,
)
from sam2_video.training.folder import PICTURES, SCORES
from sam2_video.training.kept_masks import KeptMasks, choose_frames, keep, load_kept, save_kept
from sam2_video.training.picture_files import (
    end_pictures,
    log_movie,
    log_picture,
    save_movie,
    save_picture,
    without_harm,
)
from sam2_video.training.score_files import gather, read_fading
from sam2_video.training.shown_clips import show_clips
from sam2_video.training.trainer import MemoryTuner
from sam2_video.training.video_pictures import draw_strip, make_movie, rank
from sam2_video.visualise import draw_clips, draw_curves, draw_data_summary, draw_fading

ZERO_SHOT, BEST = ".zero_shot.pt", ".best.pt"


class Pictures(Callback):
    """Draws what a run is given, what it is taught and what it has learned.

    Of the validation, three videos: those that training changed most for the worse and for the
    better, and one in the middle.

    Args:
        output_dir: of the run.
        every: epochs between pictures.
        datamodule: with its videos.
        prompts: of the run.
        best: which validation was the best so far.
        is_resumed: the masks of the run so far are in its folder.
    """

    def __init__(
        self,
        output_dir: Path,
        every: int,
        datamodule: ClipDataModule,
        prompts: PromptConfig,
        best: BestWeights,
        *,
        is_resumed: bool,
    ) -> None:
        self.folder = output_dir / PICTURES
        self.every = every
        self.train_videos = {video.video_id: video for video in datamodule.train_videos}
        self.videos = {video.video_id: video for video in datamodule.val_videos}
        self.prompts = prompts
        self.best = best
        self._own: dict[str, KeptMasks] = {}
        self._averaged: dict[str, KeptMasks] = {}
        self._now: dict[str, KeptMasks] = {}
        self._now_step = 0
        self._zero_shot = load_kept(self.folder / ZERO_SHOT) if is_resumed else {}
        self._best = load_kept(self.folder / BEST) if is_resumed else {}
        self.told: set[str] = set()

    def draw_data(self, image_size: tuple[int, int]) -> None:
        """Draw what the data set holds; the main process calls this at the start."""
        with without_harm("the summary of the data", self.told):
            save_picture(self.folder / "data.png", self._draw_data(image_size))

    def _draw_data(self, image_size: tuple[int, int]) -> UInt8[np.ndarray, "height width 3"]:
        videos = list(self.train_videos.values())
        chosen = [look_at(v, image_size) for v in choose_videos(videos, MOST_TRAINING)]
        if self.videos:
            held_out = choose_videos(list(self.videos.values()), MOST_VALIDATION)
            looked_at = (look_at(video, image_size) for video in held_out)
            chosen += [replace(v, video_id=f"{v.video_id} (val)") for v in looked_at]
        title = (
            f"{len(videos)} training videos of {sum(v.num_frames for v in videos):,} frames, "
            f"{len(self.videos)} validation videos; {len(chosen)} of them are shown"
        )
        return draw_data_summary(chosen, title, image_size)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: ClipBatch, batch_idx: int
    ) -> None:
        """Draw the first clips of some epochs, with their prompts."""
        if batch_idx or not trainer.is_global_zero or trainer.current_epoch % self.every:
            return
        assert isinstance(pl_module, MemoryTuner)
        title = f"training clips of epoch {trainer.current_epoch + 1}, as the model sees them"
        name = "clips_first.png" if trainer.global_step == 0 else "clips_latest.png"
        with without_harm("training clips", self.told):
            clips = show_clips(
                batch,
                pl_module.model.image_size,
                self.prompts,
                pl_module.augmentation,
                self.train_videos,
            )
            picture = draw_clips(clips, title)
            log_picture(trainer.loggers, "training clips", picture, trainer.global_step)
            save_picture(self.folder / name, picture)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ask for masks, and forget those of a validation that was broken off."""
        assert isinstance(pl_module, MemoryTuner)
        self._own, self._averaged = {}, {}
        if not pl_module.keep_frames:
            pl_module.keep_frames = choose_frames(list(self.videos.values()))

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401
        batch: Video | None,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Pack the masks of a video, which are too many to hold of all as they are."""
        assert isinstance(pl_module, MemoryTuner)
        if batch is None:
            return
        of_weights = (self._own, pl_module.scores), (self._averaged, pl_module.averaged_scores)
        for kept, scores in of_weights:
            # averaged weights are not scored before the first step
            if scores:
                kept[batch.video_id] = keep(scores[-1])
                scores[-1] = replace(scores[-1], masks={})

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the masks of zero-shot and best, and draw some epochs."""
        is_best = self.best.best_step == trainer.global_step
        own = self._averaged if is_best and self.best.is_averaged else self._own
        joined = {name: kept for own in gather(own) for name, kept in own.items()}
        if not trainer.is_global_zero:
            return
        self._now, self._now_step = joined, trainer.global_step
        if self._now_step == 0:
            self._zero_shot = joined
        with without_harm("what later pictures need", self.told):
            if self._now_step == 0:
                save_kept(self.folder / ZERO_SHOT, joined)
            if is_best:
                self._best = joined
                save_kept(self.folder / BEST, joined)
        if trainer.state.fn == "fit" and trainer.current_epoch % self.every == 0:
            self._draw_videos(trainer, f"step {self._now_step}", joined)

    def finish(self, trainer: Trainer, rows: Sequence[Mapping[str, float]]) -> None:
        """Draw the curves, and the videos with the best weights; the main process calls this.

        Where training made nothing better, what it made of them at last.
        """
        step = trainer.global_step
        pictures = {"curves": draw_curves(rows)}
        files = {"zero-shot": "zero_shot", "tuned": "best"}
        fading = {
            name: read_fading(self.folder.parent / SCORES.format(when))
            for name, when in files.items()
        }
        if any(fading.values()):
            pictures["fading"] = draw_fading(fading)
        for name, picture in pictures.items():
            with without_harm(f"the picture of {name}", self.told):
                log_picture(trainer.loggers, name, picture, step)
                save_picture(self.folder / f"{name}.png", picture)
        has_improved = bool(self.best.best_step) and bool(self._best)
        now = self._best if has_improved else self._now
        if now:
            step = self.best.best_step if has_improved else self._now_step
            self._draw_videos(trainer, f"step {step}", now, has_movies=True)
        with without_harm("the pictures of TensorBoard", self.told):
            end_pictures(trainer.loggers)

    def _draw_videos(
        self,
        trainer: Trainer,
        when: str,
        now: Mapping[str, KeptMasks],
        *,
        has_movies: bool = False,
    ) -> None:
        for place, video_id in rank(self._zero_shot, now).items():
            kept = {"zero-shot": self._zero_shot.get(video_id), f"tuned\n({when})": now[video_id]}
            shown = {name: masks for name, masks in kept.items() if masks is not None}
            name = f"validation_{place}"
            video = self.videos[video_id]
            with without_harm(f"video {video_id}", self.told):
                picture = draw_strip(place, video, shown, self.prompts)
                log_picture(trainer.loggers, name, picture, trainer.global_step)
                save_picture(self.folder / f"{name}.png", picture)
                if has_movies:
                    path = self.folder / f"{name}.mp4"
                    save_movie(path, make_movie(video, shown))
                    log_movie(trainer.loggers, name, path, trainer.global_step)
