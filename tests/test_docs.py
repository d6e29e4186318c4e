"""What the documentation says is what happens."""

import re
import runpy
import shlex
import subprocess
import sys

import pytest
from conftest import ROOT, call_jacdb

PAGES = runpy.run_path(str(ROOT / "docs" / "generate.py"))["PAGES"]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One for both pages: the second finds its rows there already."""
    made = tmp_path_factory.mktemp("newcomer")
    (made / "datasets").symlink_to(ROOT / "datasets")
    return made


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_fresh(name):
    assert (ROOT / "docs" / name).read_text() == PAGES[name](), "run: python docs/generate.py"


@pytest.mark.parametrize("name", ["README.md", "docs/tutorial.md"])
def test_every_command_and_all_code_of_a_page_runs(name, folder, monkeypatch):
    """The jacdb commands in order, then the Python, in one folder, as a newcomer who may write to OWNER/NAME would."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("JACDB_DATA", raising=False)
    page = (ROOT / name).read_text()
    lines = [line for block in blocks(page, "sh") for line in block.splitlines() if line.startswith("jacdb ")]
    assert len(lines) >= 6
    for line in lines:
        ran = call_jacdb(*shlex.split(line, comments=True)[1:], token="hf_newcomer")
        assert ran.returncode == 0 and ran.stdout, f"{line}: {ran.stderr}"
    python = "\n".join(blocks(page, "python"))
    ran = subprocess.run([sys.executable, "-c", python], capture_output=True, text=True)
    assert ran.returncode == 0 and "slider" in ran.stdout, ran.stderr


def test_nothing_is_left_to_be_filled_in():
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        assert not re.search(r"@[A-Z]+@|TODO|TBD", page.read_text()), page.name


def test_every_local_link_leads_somewhere():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
