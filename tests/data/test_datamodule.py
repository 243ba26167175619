"""Tests of the data in Lightning: splits, exclusions, and resuming in the middle of an epoch."""

from dataclasses import replace

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from sam2_video.config import DatasetConfig
from sam2_video.data.datamodule import ClipDataModule
from sam2_video.data.loader import ClipLoader
from sam2_video.data.shelf import Shelf

CONFIG = DatasetConfig(
    image_size=[24, 32],
    video_clip_length=3,
    clips_per_video=2,
    val_fraction=0.25,
    num_workers=0,
)


class Recorder(LightningModule):
    """A module that records the clips of finished steps, and can break off in a step."""

    def __init__(self, break_at=None):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.break_at = break_at
        self.seeds = []

    def training_step(self, batch, batch_idx):
        if self.global_step == self.break_at:
            raise KeyError("broken off")
        self.seeds.append([source.seed for source in batch.sources])
        return self.weight * 2

    def validation_step(self, video, batch_idx):
        """Lightning warns of videos to validate on without it."""

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Keeper(Callback):
    """A callback that saves the run at one of the moments at which runs are saved."""

    def __init__(self, folder, moment):
        self.path = folder / "kept.ckpt"
        self.moment = moment

    def on_train_batch_end(self, trainer, *_):
        if self.moment == "after the step":
            trainer.save_checkpoint(self.path)

    def on_exception(self, trainer, *_):
        if self.moment == "in the broken step":
            trainer.save_checkpoint(self.path)

    def on_train_epoch_end(self, trainer, *_):
        if self.moment == "after the epoch" and trainer.current_epoch == 1:
            trainer.save_checkpoint(self.path)


@pytest.fixture
def config(video_directory):
    rows = {f"v{i}": [(1,), (1, 2)] * 4 for i in range(5)}
    return replace(CONFIG, data_path=str(video_directory(**rows)))


def fit(config, folder, module, resume=None, callbacks=()):
    trainer = Trainer(
        default_root_dir=folder,
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_val_batches=0,
        callbacks=list(callbacks),
    )
    trainer.fit(module, datamodule=ClipDataModule(config, seed=5), ckpt_path=resume)
    return module.seeds


@pytest.mark.parametrize(("num_workers", "break_at"), [(0, 3), (0, 8), (0, 12), (2, 12)])
@pytest.mark.parametrize("moment", ["after the step", "in the broken step"])
def test_a_run_broken_off_in_an_epoch_resumes_with_the_same_clips(
    config, tmp_path, num_workers, break_at, moment
):
    config = replace(config, num_workers=num_workers)
    unbroken = fit(config, tmp_path, Recorder())
    assert len(unbroken) == 24
    assert len({seed for step in unbroken for seed in step}) == 24
    broken = Recorder(break_at)
    keeper = Keeper(tmp_path, moment)
    with pytest.raises(KeyError):
        fit(config, tmp_path, broken, callbacks=[keeper])
    resumed = fit(config, tmp_path, Recorder(), resume=keeper.path)
    assert broken.seeds + resumed == unbroken


def test_a_run_resumed_at_the_end_of_an_epoch_goes_on_with_the_next(config, tmp_path):
    unbroken = fit(config, tmp_path, Recorder())
    keeper = Keeper(tmp_path, "after the epoch")
    fit(config, tmp_path, Recorder(), callbacks=[keeper])
    assert fit(config, tmp_path, Recorder(), resume=keeper.path) == unbroken[16:]


def test_setup_splits_by_seed_and_only_once(config):
    module = ClipDataModule(config, seed=1)
    module.setup()
    train, validation = module.train_videos, module.val_videos
    module.setup()
    assert module.train_videos is train
    assert (len(train), len(validation)) == (4, 1)
    assert {video.video_id for video in [*train, *validation]} == {f"v{i}" for i in range(5)}


def test_val_path_takes_the_place_of_the_split(config):
    module = ClipDataModule(replace(config, val_path=config.data_path), seed=1)
    module.setup()
    assert (len(module.train_videos), len(module.val_videos)) == (5, 5)


def test_videos_without_objects_are_left_out_aloud(video_directory, log):
    root = video_directory(a=[(1,)] * 4, b=[(), (255,)], c=[(2,)] * 4)
    module = ClipDataModule(replace(CONFIG, data_path=str(root)), seed=0)
    module.setup()
    assert {v.video_id for v in [*module.train_videos, *module.val_videos]} == {"a", "c"}
    assert any("1 videos are left out (b): no object is visible" in line for line in log)


def test_no_object_at_all_is_an_error(video_directory):
    root = video_directory(a=[(), (255,)])
    with pytest.raises(ValueError, match=r"no object is visible.*255 is ignore.*write objects as"):
        ClipDataModule(replace(CONFIG, data_path=str(root)), seed=0).setup()


def test_videos_that_teach_no_tracking_are_named(video_directory, log):
    root = video_directory(a=[(1,), *[None] * 5, (1,)], b=[(1,)] * 4)
    ClipDataModule(replace(CONFIG, data_path=str(root), val_fraction=0.0), seed=0).setup()
    assert any("no clip of 1 videos (a) can hold two labelled frames" in line for line in log)


def test_debug_loads_in_the_main_process(config):
    config = replace(config, num_workers=1)
    loaders = []
    for debug in (True, False):
        module = ClipDataModule(config, seed=0, debug=debug)
        module.setup()
        loaders.append(module.train_dataloader())
    assert [loader.num_workers for loader in loaders] == [0, 1]
    assert all(isinstance(loader, ClipLoader) for loader in loaders)
    # what several processes look at must not be copied by looking
    shelved = [isinstance(loader._clips.sets[0].videos, Shelf) for loader in loaders]
    assert shelved == [False, True]


def test_no_path_is_an_error():
    with pytest.raises(ValueError, match=r"dataset\.data_path is not set"):
        ClipDataModule(CONFIG, seed=0).setup()
