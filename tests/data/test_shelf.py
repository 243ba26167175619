"""Videos on a shelf are the same videos, and looking at them leaves shared memory alone."""

import gc
import pickle
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from sam2_video.data.cores import num_cores
from sam2_video.data.dataset import ClipDataset, ClipSet
from sam2_video.data.folder import FolderVideo
from sam2_video.data.layout import open_dataset
from sam2_video.data.loader import ClipLoader, EpochSampler
from sam2_video.data.sampling import ClipSettings
from sam2_video.data.shelf import Shelf
from sam2_video.data.source import ImageFiles
from sam2_video.data.synthetic import write_dataset
from sam2_video.visualise import encode_mp4

NUM_FRAMES, NUM_VIDEOS = 100, 2000
MIB = 2**20
SETTINGS = ClipSettings(length=3, frame_stride=(1, 2), reverse_probability=0.5, max_objects=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shelf") / "data"
    write_dataset(folder, 0, 3, 6, (48, 64), (2, 3))
    return folder


@pytest.fixture(params=["videos", "coco.json"])
def videos(data, request):
    masks = data / "masks" if request.param == "videos" else None
    return open_dataset(data / request.param, masks)


def describe(video):
    return {
        "id": video.video_id,
        "size": video.size,
        "names": tuple(video.frame_names),
        "files": list(video.frames.files()),
        "sources": list(video.annotation_sources()),
        "labelled": tuple(video.labelled_frames),
        "objects": video.object_ids,
        "declared": video.declared_ids,
        "called": dict(video.object_names),
        "shown": [video.visible_objects(i) for i in range(video.num_frames)],
        "masks": video.read_masks(1, video.object_ids).tolist(),
    }


def test_videos_are_what_they_were_and_clips_are_drawn_alike(videos):
    shelf = Shelf(videos)
    assert len(shelf) == len(videos) == 3
    assert [describe(video) for video in shelf] == [describe(video) for video in videos]
    assert describe(shelf[-1]) == describe(videos[-1])
    assert [video.video_id for video in shelf[1:]] == [video.video_id for video in videos[1:]]
    sets = [ClipSet(one, SETTINGS, 2.0) for one in (videos, pickle.loads(pickle.dumps(shelf)))]
    ours, theirs = (ClipDataset([one], seed=3) for one in sets)
    for key in range(len(ours)):
        assert (ours[0, key].frames == theirs[0, key].frames).all()
        assert (ours[0, key].masks == theirs[0, key].masks).all()
    with pytest.raises(IndexError):
        shelf[3]


def test_what_was_known_is_known_and_what_is_read_is_read_once(data, monkeypatch):
    known, unknown = (open_dataset(data / "videos", data / "masks") for _ in range(2))
    assert all(video.object_ids for video in known)
    reads = []
    original = FolderVideo._read_areas
    monkeypatch.setattr(
        FolderVideo, "_read_areas", lambda self, index: reads.append(index) or original(self, index)
    )
    shelf = Shelf(known)
    assert [video.object_ids for video in shelf] == [video.object_ids for video in known]
    assert not reads
    assert shelf[0] is not shelf[0]
    assert "labelled_frames" in vars(shelf[0])
    shelf = Shelf(unknown)
    for _ in range(2):
        assert [video.object_ids for video in shelf] == [video.object_ids for video in known]
    assert len(reads) == sum(video.num_frames for video in known)


def test_video_files_stay_as_they_are(data, tmp_path):
    picture = np.zeros((32, 48, 3), dtype=np.uint8)
    (tmp_path / "a.mp4").write_bytes(encode_mp4((picture for _ in range(3)), 24))
    (tmp_path / "masks" / "a").mkdir(parents=True)
    source = next((data / "masks").rglob("*.png"))
    (tmp_path / "masks" / "a" / "00000.png").write_bytes(source.read_bytes())
    (video,) = open_dataset(tmp_path)
    assert Shelf([video])[0] is video


def make_video(number: int) -> FolderVideo:
    names = [f"frame_{index:05d}" for index in range(NUM_FRAMES)]
    frames, masks = (Path("/data", level, f"video_{number:05d}") for level in ("frames", "masks"))
    video = FolderVideo(
        f"video_{number:05d}",
        ImageFiles([frames / f"{name}.jpg" for name in names], (480, 854)),
        names,
        [masks / f"{name}.png" for name in names],
    )
    video.recall(np.arange(NUM_FRAMES, dtype=np.int32) // 50, [(1, 2, 3), (1, 3)])
    return video


def private_bytes() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))


def look_up(end, videos):
    def look(first, last):
        for number in range(first, last):
            video = videos[number]
            assert len(set(video.frames.files())) == len(set(video.frame_names)) == NUM_FRAMES
            assert video.visible_objects(NUM_FRAMES - 1) == (1, 3)

    look(0, 20)  # the code's own pages
    start = private_bytes()
    look(20, len(videos))
    end.send(private_bytes() - start)


def growth(videos) -> int:
    """Return the memory that a forked process comes to own by looking all videos up."""
    context = get_context("fork")
    ours, theirs = context.Pipe()
    gc.collect()
    gc.freeze()
    process = context.Process(target=look_up, args=(theirs, videos))
    process.start()
    gc.unfreeze()
    found = ours.recv()
    process.join()
    return found


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux counts pages")
def test_a_process_that_looks_up_every_video_owns_no_copy_of_them():
    videos = [make_video(number) for number in range(NUM_VIDEOS)]
    assert growth(videos) > 2 * MIB, "the measurement sees copies where there are"
    assert growth(Shelf(videos)) < MIB // 2


def test_the_loader_hides_what_there_is_from_the_collector_of_its_processes(data, monkeypatch):
    frozen = []

    def start(self):
        frozen.append(gc.get_freeze_count())
        return iter(())

    monkeypatch.setattr("torch.utils.data.DataLoader.__iter__", start)
    clips = ClipDataset([ClipSet(open_dataset(data / "videos", data / "masks"), SETTINGS)], 0)
    loader = ClipLoader(clips, EpochSampler(len(clips), 0), 1, num_workers=1)
    for _ in range(2):
        assert list(loader) == []
    assert frozen[0] > 10_000
    # the second epoch starts no process
    assert frozen[1] == gc.get_freeze_count() < frozen[0]


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {1, 4, 5}, raising=False)
    assert num_cores() == 3
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: 7)
    assert num_cores() == 7
