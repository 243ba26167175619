"""The recorder as a fixture."""

import pytest

from sam2_video.visualise import comparison
from tests.visualise.drawing import Recorded


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    record = Recorded()
    monkeypatch.setattr(comparison, "draw_sheet", record)
    return record
