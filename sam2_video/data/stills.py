"""Open single images, each with its own mask, as videos of one frame."""

from pathlib import Path

from loguru import logger

from sam2_video.data.folder import FolderVideo, check_masks, pair_masks
from sam2_video.data.frames import has_images, list_images
from sam2_video.data.mask_folder import open_masks
from sam2_video.data.source import ImageFiles
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
        check_masks(folder, masks, _WAY_OUT)
        labels = open_masks(masks).labels
        if not labels:
            raise ValueError(f"{masks}: folders in place of masks; expected a mask for each image")
        paths = list_images(folder, beside="masks")
        pair_masks(folder, paths[0].name, [path.stem for path in paths], open_masks(masks))
    except (OSError, ValueError) as error:
        if problems is None:
            raise
        problems[folder.name] = str(error)
        return []
    stills = [
        FolderVideo(path.stem, ImageFiles([path]), [path.stem], [mask], colour_palette)
        for path in paths
        if (mask := labels.get(path.stem)) is not None
    ]
    missing = len(paths) - len(stills)
    if missing:
        logger.warning(f"{folder}: {missing} of {len(paths)} images have no mask: left out")
    return stills
