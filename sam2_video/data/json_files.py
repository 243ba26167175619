"""Tell what a JSON file of annotations holds: COCO, YTVIS, or an export that is to be converted."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from sam2_video.data.coco import holds_coco
from sam2_video.data.ytvis import holds_ytvis
from sam2_video.files import read_json

JsonKind = Literal["coco", "ytvis"]
CONVERTERS = "see the recipes in docs/data.md"
_PLACES = ("*.json", "annotations/*.json")
JSON_NAMES: dict[JsonKind, str] = {"coco": "COCO", "ytvis": "YTVIS"}


def kind_of_json(path: Path) -> JsonKind | None:
    """Say what a JSON file holds, if it is something that can be opened.

    Raises:
        ValueError: it is no JSON.
    """
    content = read_json(path)
    if holds_coco(content):
        return "coco"
    return "ytvis" if holds_ytvis(content) else None


def name_export(path: Path) -> str | None:
    """Return what a file of annotations is that other programs wrote and nothing here reads.

    With it comes what to do.
    """
    if path.suffix.lower() == ".xml":
        return f"a CVAT or VOC file; export as `COCO 1.0`: {CONVERTERS}"
    if path.suffix.lower() != ".json":
        return None
    content = read_json(path)
    return next((told for is_it, told in _EXPORTS if is_it(content)), None)


def _is_labelme(content: object) -> bool:
    return isinstance(content, dict) and {"shapes", "imagePath"} <= content.keys()


def _is_label_studio(content: object) -> bool:
    first = content[0] if isinstance(content, list) and content else None
    return isinstance(first, dict) and {"data", "annotations"} <= first.keys()


_EXPORTS: tuple[tuple[Callable[[object], bool], str], ...] = (
    (_is_labelme, f"a file of Labelme; convert the folder by labelme2coco.py: {CONVERTERS}"),
    (_is_label_studio, f"Label Studio's own JSON; export as COCO: {CONVERTERS}"),
)


def find_json(folder: Path, kind: JsonKind | None = None) -> tuple[Path, JsonKind] | None:
    """Return the COCO or YTVIS file of a folder, which may lie in `annotations` in it.

    Args:
        folder: The folder.
        kind: What is wanted; None = either.

    Raises:
        ValueError: there are several.
    """
    files = [found for found in _json_files(folder) if kind in (None, found[1])]
    if len(files) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path, _ in files)
        kinds = " and ".join(sorted({JSON_NAMES[one] for _, one in files}))
        raise ValueError(
            f"{folder}: several {kinds} files ({names}); point dataset.data_path to one of them"
        )
    return files[0] if files else None


def _json_files(folder: Path) -> Iterator[tuple[Path, JsonKind]]:
    for pattern in _PLACES:
        for path in sorted(folder.glob(pattern)):
            kind = kind_of_json(path)
            if kind is not None:
                yield path, kind
