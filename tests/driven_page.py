"""The explorer's page in headless Chromium, driven by playwright-core, for its tests."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

import jacdb
from jacdb.explorer.page import page_folder

WEB = ROOT / "jacdb" / "explorer" / "web"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# marks of a module whose tests drive the page
NEEDS = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium"),
    pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js"),
    pytest.mark.skipif(not (WEB / "node_modules" / "playwright-core").is_dir(), reason="needs `make explorer`"),
]


def built() -> Path:
    """Return the page's folder; without it the test is skipped."""
    try:
        return page_folder()
    except jacdb.UsageError as error:
        pytest.skip(str(error))


def node(script: str, address: str, expected: dict, folder: Path) -> None:
    """Run a script of jacdb/explorer/web/tests against a page, with what it is to find there."""
    (folder / "expected.json").write_text(json.dumps(expected))
    told = subprocess.run(
        ["node", "--test", f"tests/{script}"],
        cwd=WEB,
        env=os.environ
        | {"JACDB_PAGE": address, "JACDB_EXPECTED": str(folder / "expected.json"), "JACDB_CHROMIUM": str(CHROMIUM)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout[-6000:] + told.stderr[-2000:]
