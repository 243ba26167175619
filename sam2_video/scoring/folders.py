"""Find the folders of masks of the videos of a data set, or of predictions of it."""

from pathlib import Path

from sam2_video.data.frames import has_images, visible_entries

_ANNOTATIONS = ("Annotations", "Annotations_6fps")
_RESOLUTIONS = ("480p", "1080p", "Full-Resolution")


def find_videos(root: Path, side: str) -> dict[str, Path]:
    """Return the folder of each video in natural order, given any level of a data set's tree.

    Args:
        root: the folder of videos, a folder above it (`Annotations/480p`), or one video's masks.
        side: `truth` or `predictions`, for messages.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: It holds no video.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder of {side}; correct --{side}")
    root = _video_level(root, side)
    if has_images(root):
        return {root.name: root}
    videos = {entry.name: entry for entry in visible_entries(root) if entry.is_dir()}
    if not videos:
        raise ValueError(
            f"{root}: no videos in this folder of {side}; expected VIDEO/*.png, or "
            f"VIDEO/OBJECT/*.png: correct --{side}"
        )
    return videos


def _video_level(root: Path, side: str) -> Path:
    for name in _ANNOTATIONS:
        if (root / name).is_dir():
            root = root / name
            break
    resolutions = [name for name in _RESOLUTIONS if (root / name).is_dir()]
    if len(resolutions) > 1:
        raise ValueError(
            f"{root}: several resolutions ({', '.join(resolutions)}); point --{side} to one of them"
        )
    return root / resolutions[0] if resolutions else root
