"""Fixtures that several test files share."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from loguru import logger

from tests.disks import mounted

# how busy the machine is says nothing about the code
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real annotated clips, or skip where it is absent."""
    path = Path(__file__).parents[1].parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"the real annotated clips are not here ({path.name} beside the repository)")
    return path


@pytest.fixture
def said():
    """Return the lines that the log gets during a test."""
    lines = []
    handler = logger.add(lambda line: lines.append(str(line)), format="{level}: {message}")
    yield lines
    logger.remove(handler)


@pytest.fixture
def disk(tmp_path):
    """Return the folder of a mounted disk of 80 MB, see `tests.disks`."""
    with mounted(tmp_path / "disk") as path:
        yield path
