"""The repository keeps its own rules: the README's tree, the length of files, no torchvision."""

import subprocess
from pathlib import Path

import pytest

from docs.readme_tree import ROOT, insert_tree

MAX_LINES = 300


def python_files() -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]


def test_the_readme_tree_is_what_lies_on_the_disk():
    readme = (ROOT / "README.md").read_text()
    assert readme == insert_tree(readme), "run: python -m docs.readme_tree"


def test_no_file_is_longer_than_300_lines():
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in python_files()
    }
    assert lengths
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "pyproject.toml"])
def test_nothing_asks_for_torchvision(name):
    lines = (ROOT / name).read_text().splitlines()
    assert lines
    assert [line for line in lines if "torchvision" in line] == []
