"""A video whose masks are files: label maps, one a frame, or those of each object in a folder."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from sam2_video.data.frames import list_images, warn_unread
from sam2_video.data.mask_folder import MaskFolder, open_masks
from sam2_video.data.meta_json import VideoMeta
from sam2_video.data.object_folders import ObjectFoldersVideo
from sam2_video.data.packed import FilePaths
from sam2_video.data.source import FrameSource, ImageFiles
from sam2_video.data.video import Problems, Video
from sam2_video.masks import Palette, read_mask_areas, read_mask_image, separate_objects


class FolderVideo(Video):
    """Frames and label maps that share their names; the value of a pixel is the object.

    Where `meta` lists a frame for an object that its label map does not show, the map says nothing
    of this object: YouTube-VOS' validation set has only the objects that appear on the frame.
    """

    def __init__(
        self,
        video_id: str,
        frames: FrameSource,
        frame_names: Sequence[str],
        mask_paths: Sequence[Path | None],
        colour_palette: Palette | None = None,
        meta: VideoMeta | None = None,
    ) -> None:
        super().__init__(video_id, frames, frame_names)
        self._mask_paths = FilePaths(mask_paths)
        self._colour_palette = colour_palette
        self._listed = {} if meta is None else meta.frames
        self._meta_path = () if meta is None else (str(meta.path),)
        if meta is not None:
            self.object_names = meta.categories

    def is_labelled(self, index: int, object_id: int | None = None) -> bool:
        """Say whether the frame has a mask file, and whether it speaks of the object."""
        if not self._mask_paths.has(index):
            return False
        if object_id is None or self.frame_names[index] not in self._listed.get(object_id, ()):
            return True
        return object_id in self.visible_objects(index)

    def annotation_sources(self) -> Iterable[str]:
        """Return the mask files, and the colours that are read from them."""
        return (*self._mask_paths.present(), repr(self._colour_palette))

    def annotation_files(self) -> Iterable[str]:
        """Return the mask files, and what else is known of them."""
        return (*self._mask_paths.present(), *self._meta_path)

    def _read_visible(self, index: int) -> tuple[int, ...]:
        return tuple(self._read_areas(index))

    def _read_areas(self, index: int) -> dict[int, int]:
        return read_mask_areas(self._mask_paths[index], self.size, self._colour_palette)

    def _read_masks(
        self, index: int, object_ids: Sequence[int]
    ) -> UInt8[Tensor, "objects height width"]:
        return separate_objects(self._read_mask(index), object_ids)

    def _read_mask(self, index: int) -> UInt8[Tensor, "height width"]:
        return read_mask_image(self._mask_paths[index], self.size, self._colour_palette)


def open_folder_videos(
    masks_of: Mapping[Path, Path],
    way_out: str,
    colour_palette: Palette | None,
    problems: Problems | None = None,
    metas: Mapping[str, VideoMeta] | None = None,
) -> list[Video]:
    """Open each folder of frames with its folder of masks; see `open_folder_video`.

    Args:
        masks_of: The folder of masks of each folder of frames.
        way_out: What to do where masks are missing, for the message.
        colour_palette: Colours of the objects, for RGB masks.
        problems: Takes what cannot be opened; without, it is an error.
        metas: What else is known of the objects of each video.
    """
    videos = []
    for frames_dir, masks_dir in masks_of.items():
        meta = (metas or {}).get(frames_dir.name)
        try:
            videos.append(open_folder_video(frames_dir, masks_dir, way_out, colour_palette, meta))
        except (OSError, ValueError) as error:
            if problems is None:
                raise
            problems[frames_dir.name] = str(error)
    return videos


def open_folder_video(
    frames_dir: Path,
    masks_dir: Path,
    way_out: str,
    colour_palette: Palette | None,
    meta: VideoMeta | None = None,
) -> Video:
    """Pair the frames of a folder with the masks of another, by file name without suffix.

    Args:
        frames_dir: Folder of the frames; its name is the video's. A subfolder `masks` is allowed.
        masks_dir: Folder of the masks, or of a folder of masks for each object. A frame without a
            mask is unlabelled.
        way_out: What to do where the masks are missing, for the message.
        colour_palette: Colours of the objects, for RGB masks.
        meta: What else is known of the objects of label maps.

    Raises:
        FileNotFoundError: There is no folder of masks.
        ValueError: A folder is empty, no mask belongs to a frame, or masks are JPEG.
    """
    frames = list_images(frames_dir, beside="masks")
    check_masks(frames_dir, masks_dir, way_out)
    names = [path.stem for path in frames]
    masks = open_masks(masks_dir)
    pair_masks(frames_dir, frames[0].name, names, masks)
    return join_masks(frames_dir.name, ImageFiles(frames), names, masks, colour_palette, meta)


def check_masks(video: Path, masks_dir: Path, way_out: str) -> None:
    """Refuse a video without a folder of masks, saying what to do about it."""
    if not masks_dir.is_dir():
        raise FileNotFoundError(
            f"video {video}: no masks: the folder {masks_dir} does not exist; {way_out}"
        )


def pair_masks(video: Path, first_frame: str, names: Sequence[str], masks: MaskFolder) -> None:
    """Refuse masks of which none has the name of a frame, and name those that have not.

    Args:
        video: Where the frames are.
        first_frame: How the first one is called there.
        names: Of the frames.
        masks: The masks.
    """
    files = masks.by_frame
    known = set(names)
    orphans = [path for stem, path in files.items() if stem not in known]
    if len(orphans) == len(files):
        raise ValueError(
            f"video {video}: no masks: none of {len(files)} files in {masks.path} has the name "
            f"of a frame (frame {first_frame}, mask {orphans[0].name}); rename them alike"
        )
    warn_unread(masks.path, orphans, f"masks of frames in {video}")


def join_masks(
    video_id: str,
    frames: FrameSource,
    names: Sequence[str],
    masks: MaskFolder,
    colour_palette: Palette | None,
    meta: VideoMeta | None = None,
) -> Video:
    """Return a video of frames, and of the masks that have their names."""
    if masks.objects:
        return ObjectFoldersVideo(video_id, frames, names, masks)
    paths = [masks.labels.get(name) for name in names]
    return FolderVideo(video_id, frames, names, paths, colour_palette, meta)
