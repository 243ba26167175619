"""The table of every key in docs/configuration.md."""

from pathlib import Path

from sam2_video.configuration.keys import KEYS
from sam2_video.configuration.problems import shown

BEGIN = "<!-- keys: written by `python -m sam2_video.configuration docs/configuration.md` -->"
END = "<!-- end of keys -->"


def reference_table() -> str:
    """Return a Markdown table of every key: default, accepted values, meaning."""
    rows = ["| key | default | accepted | meaning |", "|---|---|---|---|"]
    for key in KEYS.values():
        cells = f"`{key.path}`", f"`{shown(key.default)}`", key.expected, key.comment
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def update_reference(page: Path) -> None:
    """Rewrite the table between the two marks of a Markdown page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"{page}: no table to replace; expected the lines\n{BEGIN}\n{END}")
    text = f"{before}{BEGIN}\n{reference_table()}\n{END}{after}"
    page.write_text(text, encoding="utf-8", newline="\n")
