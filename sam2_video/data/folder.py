"""A video as a folder of frames beside a folder of mask files, one file a frame."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from sam2_video.data.frames import list_images, warn_unread
from sam2_video.data.video import Problems, Video
from sam2_video.masks import Palette, mask_object_ids, read_mask_image, separate_objects


class FolderVideo(Video):
    """Frames and masks that share their file names; the value of a mask's pixel is the object."""

    def __init__(
        self,
        video_id: str,
        frame_paths: Sequence[Path],
        mask_paths: Sequence[Path | None],
        colour_palette: Palette | None,
    ) -> None:
        super().__init__(video_id, frame_paths, [path.stem for path in frame_paths])
        self._mask_paths = tuple(mask_paths)
        self._colour_palette = colour_palette

    def single_frames(self) -> list["FolderVideo"]:
        """Return each labelled frame as a video of its own, named like its file."""
        return [
            FolderVideo(path.stem, [path], [mask], self._colour_palette)
            for path, mask in zip(self.frame_paths, self._mask_paths, strict=True)
            if mask is not None
        ]

    def is_labelled(self, index: int, object_id: int | None = None) -> bool:
        """Say whether the frame has a mask file, which speaks of every object."""
        return self._mask_paths[index] is not None

    def _read_visible(self, index: int) -> tuple[int, ...]:
        return mask_object_ids(self._read_mask(index))

    def _read_masks(
        self, index: int, object_ids: Sequence[int]
    ) -> UInt8[Tensor, "objects height width"]:
        return separate_objects(self._read_mask(index), object_ids)

    def _read_mask(self, index: int) -> UInt8[Tensor, "height width"]:
        path = self._mask_paths[index]
        assert path is not None
        return read_mask_image(path, self.size, self._colour_palette)


def open_folder_videos(
    masks_of: Mapping[Path, Path],
    way_out: str,
    colour_palette: Palette | None,
    problems: Problems | None = None,
) -> list[FolderVideo]:
    """Open each folder of frames with its folder of masks; see `open_folder_video`.

    Args:
        masks_of: The folder of masks of each folder of frames.
        way_out: What to do where masks are missing, for the message.
        colour_palette: Colours of the objects, for RGB masks.
        problems: Takes what cannot be opened; without, it is an error.
    """
    videos = []
    for frames_dir, masks_dir in masks_of.items():
        try:
            videos.append(open_folder_video(frames_dir, masks_dir, way_out, colour_palette))
        except (OSError, ValueError) as error:
            if problems is None:
                raise
            problems[frames_dir.name] = str(error)
    return videos


def open_folder_video(
    frames_dir: Path, masks_dir: Path, way_out: str, colour_palette: Palette | None
) -> FolderVideo:
    """Pair the frames of a folder with the masks of another, by file name without suffix.

    Args:
        frames_dir: Folder of the frames; its name is the video's. A subfolder `masks` is allowed.
        masks_dir: Folder of the masks. A frame without a mask is unlabelled.
        way_out: What to do where the masks are missing, for the message.
        colour_palette: Colours of the objects, for RGB masks.

    Raises:
        FileNotFoundError: There is no folder of masks.
        ValueError: A folder is empty, no mask belongs to a frame, or masks are JPEG.
    """
    frames = list_images(frames_dir, beside="masks")
    if not masks_dir.is_dir():
        raise FileNotFoundError(
            f"video {frames_dir}: no masks: the folder {masks_dir} does not exist; {way_out}"
        )
    masks = {path.stem: path for path in list_images(masks_dir)}
    first = next(iter(masks.values()))
    for path in masks.values():
        if path.suffix.lower() in (".jpg", ".jpeg"):
            raise ValueError(
                f"{path}: a JPEG mask has lost its exact values; export the masks as PNG"
            )
    matched = [masks.get(frame.stem) for frame in frames]
    if not any(matched):
        raise ValueError(
            f"video {frames_dir}: no masks: none of {len(masks)} files in {masks_dir} has the name "
            f"of a frame (frame {frames[0].name}, mask {first.name}); rename them alike"
        )
    orphans = masks.keys() - {frame.stem for frame in frames}
    warn_unread(masks_dir, [masks[s] for s in sorted(orphans)], f"masks of frames in {frames_dir}")
    return FolderVideo(frames_dir.name, frames, matched, colour_palette)
