"""The verb `export`: a checkpoint in the form of another tool."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from sam2_video.cli.verbs import parse, report_errors


@dataclass(frozen=True)
class ExportFlags:
    """Which checkpoint, in which form, to where."""

    checkpoint: Annotated[Positional[str], tyro.conf.arg(metavar="CHECKPOINT")]
    """a run's best_model.pth or .ckpt, Meta's .pt, a folder or hub id that transformers loads"""
    to: Literal["meta", "transformers", "safetensors"]
    """meta: .pt and Meta's YAML; transformers: a folder for from_pretrained; safetensors: a file"""
    out: str
    """the file or folder to write"""
    config: str | None = None
    """the architecture's name or Meta's YAML; left out: as the checkpoint tells"""
    image_size: tuple[int, int] | None = None
    """height and width that the files speak of; left out: as the checkpoint or its run tells"""
    overwrite: bool = False
    """replace an earlier export"""
    debug: bool = False
    """show where an error came from"""


def run_export(argv: Sequence[str], program: str = "sam2-video export") -> int:
    """Export as the command line says; return the exit code."""
    summary = "Write a checkpoint in the form of another tool; what is written is read back first."
    flags = parse(argv, program, ExportFlags, summary)
    return report_errors(lambda: _export(flags), is_debug=flags.debug)


def _export(flags: ExportFlags) -> None:
    # imported late: torch takes seconds, and neither help nor a wrong flag needs it
    from sam2_video.model.export import export

    done = export(
        flags.checkpoint,
        flags.to,
        flags.out,
        flags.config,
        flags.image_size,
        overwrite=flags.overwrite,
    )
    height, width = done.facts.image_size
    print(
        f"wrote {' and '.join(str(path) for path in done.paths)}: {done.num_tensors} of "
        f"{done.num_tensors} tensors of {done.facts.architecture.name} at {height} x {width} px, "
        "read back and compared"
    )
