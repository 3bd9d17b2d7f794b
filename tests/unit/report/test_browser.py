"""The pages in a real browser: nothing overflows on a phone or a desk, and the console stays silent."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from truing.report import ReportInputs, render
from truing.stats.claims.verdicts import retraction

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--allow-file-access-from-files",
    "--virtual-time-budget=4000",
)

# A browser window has a least width; a frame has none. Elements inside a scrolling box may be wider than the page.
HARNESS = """<!doctype html><body style="margin:0">
<iframe id="page" src="%s" style="width:%dpx;height:900px;border:0"></iframe><pre id="out"></pre><script>
document.getElementById('page').onload = event => {
  const doc = event.target.contentDocument, win = event.target.contentWindow, width = doc.documentElement.clientWidth;
  doc.querySelectorAll('details').forEach(fold => { fold.open = true; });
  const scrolls = element => { for (let up = element.parentElement; up; up = up.parentElement)
    if (['auto', 'scroll', 'hidden'].includes(win.getComputedStyle(up).overflowX)) return true; return false; };
  const wide = [...doc.body.querySelectorAll('*')].filter(element => !element.closest('svg') || element.matches('svg'))
    .filter(element => element.getBoundingClientRect().right > width + 1 && !scrolls(element) && !element.matches('.skip'))
    .map(element => element.tagName + '.' + element.className + ' ' + Math.round(element.getBoundingClientRect().right));
  const page = doc.documentElement.scrollWidth, svgs = doc.querySelectorAll('svg').length;
  document.getElementById('out').textContent = JSON.stringify({width, page, wide: wide.slice(0, 5), svgs});
};
</script></body>"""


@pytest.fixture(scope="module")
def crowded(inputs: ReportInputs) -> dict[str, bytes]:
    """The pages with everything on them that a report may have to say: a retraction, a vouched difference, results from elsewhere."""
    log = [dict(row) for row in inputs.log]
    libraries = {"torch": "2.13.0", "transformers": "5.23.0", "trl": "1.16.0"}
    values = {"value_a": libraries, "value_b": dict.fromkeys(libraries, "0.0.1-of-a-very-long-and-unbreakable-name")}
    mismatch = {"a": "skewed-tarp", "b": "skewed-uniform", "field": "sft.libraries", "reason": "no number changes", **values}
    elsewhere = inputs.results[inputs.results["condition"] == "skewed-tarp"].assign(origin="import", node="import/earlier")
    return render(
        dataclasses.replace(
            inputs,
            log=[*log, retraction(log, "tarp-lessens-lean", "the corpora were swapped")],
            mismatches=[mismatch],
            imported={"earlier": elsewhere},
        )
    )


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["index.html", "claims.html", "nodes.html"])
def test_nothing_overflows_and_nothing_is_logged(crowded: dict[str, bytes], tmp_path: Path, name: str, width: int) -> None:
    for page, source in crowded.items():
        (tmp_path / page).write_bytes(source)
    harness = tmp_path / "harness.html"
    harness.write_text(HARNESS % (name, width), encoding="utf-8")
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,1000", "--dump-dom", harness.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    out = re.search(r'<pre id="out">(\{.*?\})</pre>', done.stdout)
    assert out, done.stderr[-2000:]
    found = json.loads(out.group(1))
    assert found["width"] == width or found["width"] == width - 15, "the frame is as wide as asked for, less a scroll bar"
    assert found["wide"] == []
    assert found["page"] <= found["width"]
    assert found["svgs"] == (8 if name == "index.html" else 0)
    assert "CONSOLE" not in done.stderr
