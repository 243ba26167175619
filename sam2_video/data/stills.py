"""Open single images, each with its own mask, as videos of one frame."""

from pathlib import Path

from loguru import logger

from sam2_video.data.folder import FolderVideo, open_folder_video
from sam2_video.data.frames import has_images
from sam2_video.data.video import Problems
from sam2_video.masks import Palette

_WAY_OUT = "name the folder of the masks in dataset.masks_path"


def open_images(
    data_path: Path,
    masks_path: Path | None = None,
    colour_palette: Palette | None = None,
    problems: Problems | None = None,
) -> list[FolderVideo]:
    """Open `data_path/*.jpg` with `masks_path/*.png` of the same names, each image a video.

    The folder above, with `images` and `masks` in it, may be named too. Images without a mask
    are left out, aloud.

    Args:
        data_path: The folder of the images, or the one above.
        masks_path: The folder of the masks; without, `masks` in or beside the images' folder.
        colour_palette: RGB colours of the objects, for masks that are RGB pictures.
        problems: Takes the folder if it cannot be opened; without, it is an error.
    """
    images = data_path / "images"
    folder = images if images.is_dir() and not has_images(data_path) else data_path
    places = [masks_path or folder / "masks", folder.parent / "masks"]
    masks = places[1] if masks_path is None and not places[0].is_dir() else places[0]
    try:
        together = open_folder_video(folder, masks, _WAY_OUT, colour_palette)
    except (OSError, ValueError) as error:
        if problems is None:
            raise
        problems[folder.name] = str(error)
        return []
    stills = together.single_frames()
    missing = together.num_frames - len(stills)
    if missing:
        logger.warning(
            f"{folder}: {missing} of {together.num_frames} images have no mask: left out"
        )
    return stills
