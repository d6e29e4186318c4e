"""What is installed is what stands in the checkout: every module and every data file, under the links' names."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT
from packaging.requirements import Requirement

from jacdb.errors import UsageError
from jacdb.explorer.page import page_folder

# Folders at the top of the repository, and the package that each is when installed
PACKAGES = {
    "jacdb": "jacdb",
    "ingest": "jacdb/ingest",
    "queries": "jacdb/queries",
    "schemas": "jacdb/schemas",
    "datasets/policies": "jacdb/experts",
}
DATA = {".py", ".sql", ".csv", ".j2", ".safetensors", ".typed"}

PAGE = {"jacdb/explorer/page/index.html", "jacdb/explorer/page/assets/engine.wasm"}


def built(folder: Path, command: str, checkout: Path) -> Path:
    """The one file that the build backend leaves in a folder."""
    call = f"from setuptools import build_meta; build_meta.{command}({str(folder)!r})"
    subprocess.run([sys.executable, "-c", call], cwd=checkout, check=True, capture_output=True)
    [made] = folder.iterdir()
    return made


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A clone with this working tree's files: a build leaves folders behind."""
    folder = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True
    )
    wanted = [
        name for name in listed.stdout.decode().splitlines() if not name.startswith(("tests/", "datasets/sample"))
    ]
    archive = subprocess.run(["tar", "-c", "--", *[n for n in wanted if (ROOT / n).exists()]], cwd=ROOT,
                             check=True, capture_output=True).stdout  # fmt: skip
    subprocess.run(["tar", "-x"], cwd=folder, input=archive, check=True)
    for name in (*PAGE, "jacdb/explorer/web/node_modules/gyp/gyp.py"):  # a build of the page leaves these
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("built")
    return folder


def test_what_has_no_wheel_for_python_3_13_is_locked_for_3_12_alone():
    """Else `make setup` ends in an error of Bazel, by which labmaze is built, where there is no Python 3.12."""
    [labmaze] = re.findall(r"^labmaze==[^\\]*", (ROOT / ".ci" / "requirements.txt").read_text(), re.MULTILINE)
    marker = Requirement(labmaze).marker
    assert [marker.evaluate({"python_full_version": version}) for version in ("3.12.12", "3.13.0")] == [True, False]


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_data_file_and_nothing_else(checkout, tmp_path):
    expected = {
        f"{package}/{path.relative_to(checkout / folder).as_posix()}"
        for folder, package in PACKAGES.items()
        for path in (checkout / folder).rglob("*")
        if path.is_file() and path.suffix in DATA and "node_modules" not in path.parts
    }
    expected |= PAGE
    assert names(built(tmp_path, "build_wheel", checkout)) == expected


def test_users_33_without_the_page_the_remedy_is_of_a_checkout_or_of_an_installed_copy(tmp_path):
    with pytest.raises(UsageError, match=r"installed without the explorer's page: .* and install again; or .* wheel"):
        page_folder(tmp_path)
    (tmp_path / "web").mkdir()
    with pytest.raises(UsageError, match=r"not built in this checkout: run `make explorer`"):
        page_folder(tmp_path)
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").touch()
    assert page_folder(tmp_path) == tmp_path / "page"


@pytest.mark.slow
def test_a_wheel_of_the_source_archive_is_the_same(checkout, tmp_path):
    for name in ("wheel", "sdist", "from_sdist", "unpacked"):
        (tmp_path / name).mkdir()
    archive = built(tmp_path / "sdist", "build_sdist", checkout)
    subprocess.run(["tar", "-xzf", str(archive), "-C", str(tmp_path / "unpacked"), "--strip-components=1"], check=True)
    of_checkout = names(built(tmp_path / "wheel", "build_wheel", checkout))
    of_archive = names(built(tmp_path / "from_sdist", "build_wheel", tmp_path / "unpacked"))
    assert of_archive == of_checkout


@pytest.mark.slow
def test_an_editable_install_is_found_from_the_folder_beside_a_clone_called_jacdb(checkout, tmp_path):
    """A folder on the path that is called like a package hides it from whatever is asked after the path."""
    beside, installed = tmp_path / "beside", tmp_path / "installed"
    beside.mkdir()
    (beside / "jacdb").symlink_to(checkout)
    (tmp_path / "wheel").mkdir()
    with zipfile.ZipFile(built(tmp_path / "wheel", "build_editable", beside / "jacdb")) as archive:
        archive.extractall(installed)
    program = f"import site; site.addsitedir({str(installed)!r}); import jacdb; print(jacdb.__file__)"
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=beside, env=alone, check=True, capture_output=True, text=True
    )
    assert Path(ran.stdout.strip()).resolve() == checkout / "jacdb" / "__init__.py"
