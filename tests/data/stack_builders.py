"""Small stacks of slices in NPZ, NIfTI and TIFF files, and what each must be read as."""

from pathlib import Path

import nibabel
import numpy as np
import torch
from PIL import Image

SHAPE = (5, 20, 30)


def volume(dtype=np.int16, seed: int = 0) -> np.ndarray:
    """Return a stack, each slice brighter than the one before."""
    noise = np.random.default_rng(seed).integers(0, 20, SHAPE)
    return (noise + 40 * np.arange(SHAPE[0])[:, None, None]).astype(dtype)


def labels(dtype=np.uint8) -> np.ndarray:
    """Return labels: object 1 on slices 1 to 3, object 2 on slice 2, nothing on 0 and 4."""
    found = np.zeros(SHAPE, dtype=dtype)
    found[1:4, 2:6, 3:8] = 1
    found[2, 10:12, 10:15] = 2
    return found


def write_npz(path: Path, images=None, gts=None, save=np.savez_compressed, **more) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, imgs=volume() if images is None else images, gts=labels() if gts is None else gts)
    if more:
        save(path, imgs=volume(), gts=labels(), **more)
    return path


def write_nifti(path: Path, slices: np.ndarray, affine=None, scale=None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(slices.T, np.eye(4) if affine is None else affine)
    if scale is not None:
        image.header.set_slope_inter(*scale)
    nibabel.save(image, path)
    return path


def write_tiff(path: Path, slices: np.ndarray, **how) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = [Image.fromarray(one) for one in slices]
    first.save(path, save_all=True, append_images=rest, **how)
    return path


def assert_is_the_stack(video, dtype=np.int16) -> None:
    assert (video.num_frames, video.size) == (SHAPE[0], SHAPE[1:])
    assert video.frame_names[0] == "00000"
    assert video.labelled_frames == tuple(range(5))  # an empty slice says that all is absent
    assert [video.visible_objects(i) for i in range(5)] == [(), (1,), (1, 2), (1,), ()]
    masks = video.read_masks(2, (1, 2))
    assert torch.equal(masks, torch.from_numpy(np.stack([labels()[2] == i for i in (1, 2)])).byte())
    frames = torch.stack([video.read_frame(i) for i in range(5)])
    assert torch.equal(frames[:, 0], frames[:, 2])
    stack = volume(dtype)
    if dtype != np.uint8:
        low, high = np.percentile(stack, (0.5, 99.5))
        stack = np.round(255 * np.clip((stack - low) / (high - low), 0, 1))
        assert (frames[0].min(), frames[4].max()) == (0, 255)
    assert torch.equal(frames[:, 0], torch.from_numpy(stack.astype(np.uint8)))
