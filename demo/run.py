"""`make demo`: generate videos, fine-tune a small SAM 2's memory on them, show what it learned."""

import sys
import time
from pathlib import Path

from loguru import logger

from sam2_video import SAM2Model, train
from sam2_video.data.layout import open_dataset
from sam2_video.data.synthetic import write_dataset
from sam2_video.evaluation import evaluate_video, mean_over_objects

SIZE = (128, 128)
NUM_FRAMES = 16
AREA_RANGE = (0.07, 0.16)
GOAL = 0.75
CHECKPOINT = Path(__file__).with_name("micro.pt")
"""Pre-trained by `demo/pretrain.py`, all but the last layers of its memory encoder."""
SPLITS = {"train": (192, 100), "val": (6, 2000), "test": (48, 3000)}
"""Number of videos and first seed: no video is in two of them, nor in the pre-training."""
SETTINGS = {
    "image_size": SIZE,
    "video_clip_length": 8,
    "frame_stride": (1, 2),
    "batch_size": 4,
    "num_workers": 0,
    "trainable_modules": ("memory_attention", "memory_encoder"),
    "clips_per_video": 1,
    "max_epochs": 3,
    "max_time_minutes": 4.0,
    "validate_every": 1,
    "lr": 7.0e-4,
    "precision": "32-true",
    "accelerator": "cpu",
    "augmentation": {"preset": "off"},
    "prompts": {
        "mask": 1.0,
        "box": 0.0,
        "point": 0.0,
        "conditioning_frames": 1,
        "corrected_frames": 0,
    },
    "losses": {"bce": 1.0, "focal": 0.0, "iou_prediction": 0.2, "object_score": 0.2},
    "use_wandb": False,
}


def make_data(folder: Path) -> None:
    """Generate the three sets of videos, unless they are there."""
    for name, (num_videos, seed) in SPLITS.items():
        if not (folder / name).exists():
            write_dataset(
                folder / name, seed, num_videos, NUM_FRAMES, SIZE, (2, 3), area_range=AREA_RANGE
            )


def score(model: SAM2Model, data: Path, *, is_memory_used: bool = True) -> float:
    """Return J on the test videos: mask prompts where objects appear, mean over objects."""
    videos = open_dataset(data / "test/videos", data / "test/masks")
    return mean_over_objects(
        [evaluate_video(model, video, is_memory_used=is_memory_used) for video in videos]
    )


def load(checkpoint: Path) -> SAM2Model:
    """Load weights of the demo's network."""
    return SAM2Model.load(str(checkpoint), "micro", SIZE)


def free_folder(parent: Path) -> Path:
    """Return a folder that does not exist yet: demo, demo-2, demo-3, ..."""
    names = ["demo", *(f"demo-{number}" for number in range(2, 1000))]
    return next(parent / name for name in names if not (parent / name).exists())


def main() -> int:
    """Run the demo; the exit code is 0 when memory has visibly learned."""
    start = time.monotonic()
    out = free_folder(Path("runs"))
    data = Path("runs/demo-data")
    logger.info(f"generating videos in {data}")
    make_data(data)
    before = score(load(CHECKPOINT), data)
    training_start = time.monotonic()
    result = train(
        data=data / "train/videos",
        masks_path=data / "train/masks",
        val_path=data / "val/videos",
        val_masks_path=data / "val/masks",
        checkpoint=CHECKPOINT,
        config_path="micro",
        out=out,
        **SETTINGS,
    )
    seconds = time.monotonic() - training_start
    after = score(load(result.best_model), data)
    without_memory = score(load(result.best_model), data, is_memory_used=False)
    print(
        f"\nregion similarity J on {SPLITS['test'][0]} test videos, prompt: the first mask\n"
        f"  before fine-tuning            {before:.3f}\n"
        f"  after fine-tuning             {after:.3f}\n"
        f"  after, with memory emptied    {without_memory:.3f}\n"
        f"training took {seconds:.0f} s, everything {time.monotonic() - start:.0f} s\n"
        f"curves and pictures (frame and prompt, truth, before, after): {out / 'pictures'}"
    )
    if after >= GOAL and after > before and without_memory < after - 0.2:
        return 0
    print(f"not as it should be: expected J of {GOAL} and clearly less without memory")
    return 1


if __name__ == "__main__":
    sys.exit(main())
