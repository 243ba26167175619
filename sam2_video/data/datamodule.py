"""Hand the configured videos to Lightning: clips to train on, whole videos to validate on."""

from collections.abc import Mapping, Sequence

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from sam2_video.config import DatasetConfig
from sam2_video.data.cores import num_cores
from sam2_video.data.dataset import ClipDataset, ClipSet
from sam2_video.data.encoded import EncodedVideo
from sam2_video.data.loader import ClipLoader, EpochSampler
from sam2_video.data.sets import DataSet, open_sets
from sam2_video.data.shelf import Shelf
from sam2_video.data.video import Video
from sam2_video.structures import ClipBatch


class _VideoDataset(Dataset[Video | None]):
    def __init__(self, videos: Sequence[Video | None]) -> None:
        self._videos = videos

    def __len__(self) -> int:
        return len(self._videos)

    def __getitem__(self, index: int) -> Video | None:
        return self._videos[index]


def _choose_evenly(videos: Sequence[Video], count: int | None) -> Sequence[Video]:
    if count is None or count >= len(videos):
        return videos
    return [videos[index * len(videos) // count] for index in range(count)]


class ClipDataModule(LightningDataModule):
    """Open, split and load the data of a run.

    Training clips of the videos in `encoded`, by name, come without images, from a feature cache.
    The loader has its own distributed sampler: the Trainer needs `use_distributed_sampler=False`.

    Args:
        config: The section `dataset` of the configuration.
        seed: Of the split, the order and the clips.
        max_val_videos: Validate on this many videos, evenly chosen; None = all.
        debug: Load in the main process.
    """

    def __init__(
        self,
        config: DatasetConfig,
        seed: int,
        max_val_videos: int | None = None,
        *,
        debug: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        self.seed = seed
        self.max_val_videos = max_val_videos
        self.debug = debug
        self.sets: Sequence[DataSet] = ()
        self.train_videos: Sequence[Video] = ()
        self.val_videos: Sequence[Video] = ()
        self.encoded: Mapping[str, EncodedVideo] = {}

    def setup(self, stage: str | None = None) -> None:
        """Open the videos and split them; calling it again changes nothing."""
        if self.sets:
            return
        self.sets = open_sets(self.config, self.seed)
        self.train_videos = [video for one in self.sets for video in one.train]
        validation = [video for one in self.sets for video in one.validation]
        self.val_videos = _choose_evenly(validation, self.max_val_videos)

    def train_dataloader(self) -> ClipLoader:
        """Return the loader of training clips for this process."""
        config = self.config
        height, width = config.image_size
        trainer = self.trainer
        num_workers = self._num_workers()
        dataset = ClipDataset(
            [
                ClipSet(
                    Shelf(one.train) if num_workers else one.train,
                    one.settings,
                    one.clips_per_video,
                )
                for one in self.sets
            ],
            self.seed,
            (height, width),
            max_epochs=trainer.max_epochs if trainer and trainer.max_epochs else 1,
            encoded=self.encoded,
        )
        rank, world_size = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        assert config.batch_size != "auto", "chosen before training starts"
        return ClipLoader(
            dataset,
            EpochSampler(len(dataset), self.seed, rank, world_size),
            batch_size=config.batch_size,
            num_workers=num_workers,
            pin_memory=trainer is not None and trainer.strategy.root_device.type == "cuda",
            batches_done=self._batches_done,
            are_bad_skipped=config.on_bad_sample == "skip",
        )

    def val_dataloader(self) -> DataLoader[Video | None]:
        """Return this process's share of the whole videos, one at a time, to be read lazily.

        Processes that have one video less than others get None in its place: they must all take
        the same number of steps, or the others wait for them for ever.
        """
        trainer = self.trainer
        rank, world_size = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        videos: list[Video | None] = [*self.val_videos]
        videos += [None] * (-len(videos) % world_size)
        videos = videos[rank::world_size]
        return DataLoader(_VideoDataset(videos), batch_size=None, collate_fn=lambda video: video)

    def transfer_batch_to_device(
        self, batch: ClipBatch | Video | None, device: torch.device, dataloader_idx: int
    ) -> ClipBatch | Video | None:
        """Move a batch; from pinned memory the copy overlaps with computing."""
        if isinstance(batch, ClipBatch):
            return batch.to(device, non_blocking=device.type == "cuda")
        return batch

    def _num_workers(self) -> int:
        """Return the configured number, or one process a core that training leaves free."""
        if self.debug:
            return 0
        if self.config.num_workers is not None:
            return self.config.num_workers
        devices = self.trainer.num_devices if self.trainer else 1
        return min(max(num_cores() // devices - 1, 0), 8)

    def _batches_done(self) -> int:
        """Return how many batches of the running epoch Lightning counts as trained on."""
        if self.trainer is None:
            return 0
        return self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
