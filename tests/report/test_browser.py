"""The report in headless Chromium: no errors, no requests, sorting, and widths of screens."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sam2_video.report import write_report
from tests.report.test_report import HOSTILE

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
SECONDS = 120

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason=f"no browser: none of {', '.join(NAMES)} is on the PATH"
)

# what a page is asked, from a page around it; errors and refused requests are counted from the
# first line of the report on
WATCH = """<script>
window.found = [];
addEventListener("error", (e) => found.push("error " + (e.message || e.target.outerHTML)), true);
addEventListener("securitypolicyviolation", (e) => found.push("refused " + e.blockedURI));
</script>"""
ASK = """<script>
addEventListener("load", () => {
  const names = () => [...document.querySelectorAll("#scores tbody th")].map((e) => e.textContent);
  const press = (column) => {
    document.querySelectorAll("#scores thead button")[column].click();
    const sorted = [...document.querySelectorAll("#scores thead th")];
    return [names(), sorted.map((e) => e.getAttribute("aria-sort"))[column]];
  };
  const answer = {
    width: innerWidth,
    content: document.documentElement.scrollWidth,
    orders: [press(3), press(3), press(0), press(4)],
    focusable: [...document.querySelectorAll("thead button")].every((b) => b.tabIndex === 0),
    images: [...document.images].map((image) => image.naturalWidth > 0),
    requests: performance.getEntriesByType("resource").map((e) => e.name)
      .filter((name) => !name.startsWith("data:")),
    found: window.found,
  };
  const result = document.createElement("pre");
  result.id = "answer";
  result.textContent = JSON.stringify(answer);
  document.body.append(result);
  if (parent !== window) parent.document.body.append(result);
});
</script>"""


def ask(report: Path, width: int) -> dict:
    """Return what a browser with a screen of some width finds in a report."""
    text = report.read_text(encoding="utf-8")
    assert text.count("<head>") == text.count("</body>") == 1
    text = text.replace("<head>", f"<head>{WATCH}").replace("</body>", f"{ASK}</body>")
    asked = report.with_name("asked.html")
    asked.write_text(text, encoding="utf-8")
    # windows are at least 500 pixels wide, frames are not
    frame = f'<iframe src="asked.html" style="border:0;width:{width}px;height:900px"></iframe>'
    outer = report.with_name("outer.html")
    outer.write_text(f"<!doctype html><body>{frame}</body>", encoding="utf-8")
    assert CHROMIUM is not None
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--allow-file-access-from-files", f"--user-data-dir={report.parent / 'profile'}"),
        *("--virtual-time-budget=5000", "--window-size=1400,1000", "--dump-dom", outer.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
    match = re.search(r'<pre id="answer">(.*?)</pre>', done.stdout, re.DOTALL)
    assert match, done.stderr
    return json.loads(match[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


@pytest.fixture
def report(make_run: Callable[..., Path]) -> Path:
    name = "a/very_long_name_of_a_video_without_any_space_" * 4
    before = {"video 10": 0.25, "video 9": 0.5, HOSTILE: 0.75, name: None}
    after = {"video 10": 0.875, "video 9": 0.625, HOSTILE: 0.125, name: None}
    folder = make_run(before, after, num_pictures=3)
    (folder / "pictures" / "validation_worst.mp4").unlink()
    return write_report(folder)


@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_the_whole_page_without_errors_or_requests(
    report: Path, width: int
) -> None:
    answer = ask(report, width)
    assert answer["found"] == []
    assert answer["requests"] == []
    assert answer["images"] == [True, True, True]
    assert answer["width"] == width
    assert answer["content"] <= width


def test_the_table_is_sorted_by_the_button_that_is_pressed(report: Path) -> None:
    answer = ask(report, 1280)
    (rising, up), (falling, down), (by_name, _), (by_change, _) = answer["orders"]
    assert (up, down) == ("ascending", "descending")
    assert rising[:3] == [HOSTILE, "video 9", "video 10"]
    assert falling[:3] == ["video 10", "video 9", HOSTILE]
    assert rising[3] == falling[3] == by_change[3], "a video without a score stays last"
    assert by_name.index("video 9") < by_name.index("video 10")
    assert by_change[:3] == [HOSTILE, "video 9", "video 10"]
    assert answer["focusable"]
