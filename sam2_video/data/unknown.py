"""Say what was looked for, what is there and what is nearest where no layout is recognised."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from sam2_video.data.frames import visible_entries
from sam2_video.data.json_files import name_export

_LOOKED_FOR = (
    "JPEGImages (DAVIS), *_manual.json (SA-V), a COCO or YTVIS JSON file, NPZ, NIfTI or TIFF "
    "stacks, video files, folders of frames"
)
_MOST_LOOKED_AT = 50
_EXPORTS = (".json", ".xml")


def refuse_exports(folder: Path) -> None:
    """Refuse a folder of files that are to be converted first.

    Raises:
        ValueError: naming one of them, and the converter.
    """
    files = (one for one in visible_entries(folder) if one.suffix.lower() in _EXPORTS)
    first = next((file for file in files if file.is_file()), None)
    if first is not None and (told := name_export(first)) is not None:
        raise ValueError(f"{first}: {told}")


def unknown(folder: Path, is_known: Callable[[Path], str | None]) -> ValueError:
    """Return what to tell of a folder that is of no layout.

    Args:
        folder: The folder.
        is_known: Returns which layout another folder has, or None.
    """
    entries = visible_entries(folder)
    folders = [entry for entry in entries if entry.is_dir()]
    inner = [one for above in folders[:_MOST_LOOKED_AT] for one in visible_entries(above)]
    nearer = [*folders, *(entry for entry in inner if entry.is_dir())][:_MOST_LOOKED_AT]
    nearest = next(((one, known) for one in nearer if (known := is_known(one))), None)
    hint = "correct dataset.data_path, or name the layout in dataset.format"
    if nearest is not None:
        hint = f"{nearest[0]} is of the layout {nearest[1]}: point dataset.data_path to it"
    return ValueError(
        f"{folder}: no layout is recognised: looked for {_LOOKED_FOR}, and found "
        f"{_count(entries, folders)}; {hint} (docs/data.md shows each layout)"
    )


def _count(entries: list[Path], folders: list[Path]) -> str:
    kinds = Counter(one.suffix or "no suffix" for one in entries if one not in set(folders))
    files = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(4))
    shown = ", ".join(folder.name for folder in folders[:3]) + (", ..." if len(folders) > 3 else "")
    parts = [f"{len(folders)} folders ({shown})"] if folders else []
    parts += [f"{sum(kinds.values())} files ({files})"] if kinds else []
    return " and ".join(parts) or "nothing"
