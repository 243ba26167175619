"""Write the README's tree, one line a file, from the first line of each file's docstring."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- tree: python -m docs.readme_tree -->", "<!-- end of tree -->"
OTHER_FILES = {
    ".ci/run": "What continuous integration runs: `make check` and `make test`",
    ".gitignore": "What git does not track",
    "CHANGELOG.md": "What changed, by version",
    "CONTRIBUTING.md": "How to work on the code",
    "LICENSE": "Apache-2.0",
    "Makefile": "`setup`, `demo`, `test`, `check`, `bench`, `fuzz`",
    "README.md": "This page",
    "benchmarks/overfit/clips.yaml": "Overfit one clip, second run: clips and masks",
    "benchmarks/overfit/micro-one-mask.yaml": "The micro network with one mask while tracking",
    "benchmarks/overfit/stills.yaml": "Overfit one clip, first run: still frames",
    "configs/decoder-only.yaml": "Only the mask decoder learns",
    "configs/gpu-8gb.yaml": "For 8 GB at 1024 px: small, memory only",
    "configs/gpu-11gb.yaml": "For 11 GB at 1024 px: base-plus, memory only",
    "configs/gpu-16gb.yaml": "For 16 GB at 1024 px: base-plus, memory and decoder",
    "configs/gpu-24gb.yaml": "For 24 GB at 1024 px: the same, nothing computed twice",
    "configs/gpu-48gb.yaml": "For 48 GB at 1024 px: all of base-plus",
    "configs/gpu-80gb.yaml": "For 80 GB at 1024 px: all of large",
    "configs/lora.yaml": "Low-rank adapters learn",
    "configs/memory+decoder.yaml": "Memory and mask decoder learn",
    "configs/memory-only.yaml": "The default recipe: memory attention and memory encoder learn",
    "configs/official-finetune.yaml": "Meta's recipe: everything learns",
    "configs/small-gpu.yaml": "For 8 to 11 GB",
    "demo/micro.pt": "The small SAM 2 that `demo/pretrain.py` made: 0.9 M parameters",
    "docs/augmentation.md": "Presets, what each does, and how they look",
    "docs/check.md": "`sam2-video check`: every finding and its way out; the index; loading speed",
    "docs/checkpoints.md": "What goes in, what comes out, what is refused",
    "docs/compilation.md": "`trainer.compile`: what it compiles, what that costs, where it fails",
    "docs/configuration.md": "Every key, its default and its meaning",
    "docs/data.md": "Layouts, what a mask says, how clips are drawn",
    "docs/design.md": "How it is built and why; where it differs from Meta's code",
    "docs/feature-cache.md": "Keep what the frozen encoder says: size, exactness, limits",
    "docs/evaluation.md": "`sam2-video evaluate`, and validation during training",
    "docs/losses.md": "Every loss term, its formula and what it averages over",
    "docs/images/augmentation-draws.jpg": "One clip, drawn several times",
    "docs/images/augmentation-presets.jpg": "One clip by each preset",
    "docs/images/check-mosaic.jpg": "Frames with objects, a row a video",
    "docs/images/check-timeline.jpg": "When objects are visible, and how large",
    "docs/images/clips.jpg": "Pasted clips and moved stills",
    "docs/memory.md": "When memory is short: which setting saves how much",
    "docs/metrics.md": "J, F and the rest: definitions, protocols, agreement with the evaluators",
    "docs/parity.md": "Every case compared with Meta's code, and every known difference",
    "docs/performance.md": "A training step against Meta's: time, memory, where both go, levers",
    "docs/pictures.md": "What the pictures of a run and its report show",
    "docs/predict.md": "`sam2-video predict`: prompts, what is written, videos that are read",
    "docs/recipes.md": "Which recipe when",
    "docs/reliability.md": "Faults and hostile input that were tried, and what happens",
    "docs/results.md": "What was measured, on what, and how to measure it again",
    "docs/training.md": "What to train: names, rates, adapters, averaged weights",
    "pyproject.toml": "Dependencies by range; settings of every tool",
    "requirements-dev.txt": "Exact versions for tests and checks",
    "requirements.txt": "Exact versions",
    "sam2_video/report/report.css": "The report's looks: light, dark, phone and desktop",
    "sam2_video/report/report.html.j2": "The report's page",
    "sam2_video/report/report.js": "Sorts the report's table",
    "tests/model/golden/non_square.json": "A recorded run on frames that are not square",
}


def describe(name: str) -> str:
    """Return what a file is: its docstring's first line, or the entry above."""
    path = ROOT / name
    if name in OTHER_FILES:
        return OTHER_FILES[name]
    if path.suffix == ".py":
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        if docstring:
            return docstring.splitlines()[0].rstrip(".")
    if name.startswith("benchmarks/results/"):
        return "Measured numbers, with machine and versions"
    raise ValueError(f"{name}: no first docstring line, and no entry in docs/readme_tree.py")


def build_tree() -> str:
    """Return the tree of all files that git tracks or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    names = sorted({name for name in listed.splitlines() if (ROOT / name).is_file()})
    names.sort(key=lambda name: (name.count("/") == 0, name.rsplit("/", 1)[0], name))
    lines, folder = [], None
    for name in names:
        parent, _, leaf = name.rpartition("/")
        if parent != folder:
            lines.append(f"{parent}/" if parent else "./")
            folder = parent
        lines.append(f"    {leaf:<24}  {describe(name)}")
    return "\n".join(lines)


def insert_tree(readme: str) -> str:
    """Return the README with its tree made anew."""
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n```\n{build_tree()}\n```\n{END}{tail}"


if __name__ == "__main__":
    page = ROOT / "README.md"
    page.write_text(insert_tree(page.read_text()))
    sys.exit(0)
