"""What the page is built of: pinned packages from any registry, whose licences go with it."""

import json
import re

import pytest
from conftest import ROOT

import jacdb
from jacdb.explorer.page import page_folder

WEB = ROOT / "jacdb" / "explorer" / "web"
FUNDING = re.compile(r'"(url|funding)": "https://[^"]*"')  # where its authors ask for support


def packages() -> dict[str, dict]:
    """What the lock says of each package."""
    return json.loads((WEB / "package-lock.json").read_text())["packages"]


def test_users_32_the_lock_pins_every_package_and_names_no_registry():
    text = (WEB / "package-lock.json").read_text()
    assert not re.findall(r"https?://\S+", FUNDING.sub("", text))
    locked = packages()
    asked = locked.pop("")
    assert len(locked) > 4
    for name, package in locked.items():
        assert package["integrity"].startswith("sha512-") and "resolved" not in package, name
    for name, version in {**asked["dependencies"], **asked["devDependencies"]}.items():
        assert locked[f"node_modules/{name}"]["version"] == version, "an exact version"


def test_users_32_the_page_has_the_licences_of_what_it_is_made_of():
    try:
        folder = page_folder()
    except jacdb.UsageError as error:
        pytest.skip(str(error))
    text = (folder / "licences.txt").read_text()
    told = dict(re.findall(r"^(\S+) (\d+\.\d+\.\d+) \([\w.-]+\)$", text, re.MULTILINE))
    locked = packages()
    # what the page names itself, and what is bundled with those
    names = {*locked[""]["dependencies"], "apache-arrow", "flatbuffers", "fzstd", "hysnappy"}
    assert told.keys() >= names
    assert not told.keys() & locked[""]["devDependencies"].keys()
    assert told == {name: locked[f"node_modules/{name}"]["version"] for name in told}
    parts = text.split(f"\n{'-' * 78}\n\n")
    assert len(parts) == len(told)
    for part in parts:
        assert re.search("copyright|Apache License", part, re.IGNORECASE) and len(part) > 500, part[:80]


def test_users_32_the_licences_name_what_duckdbs_wasm_holds():
    try:
        folder = page_folder()
    except jacdb.UsageError as error:
        pytest.skip(str(error))
    [wasm] = folder.glob("assets/duckdb-*.wasm")
    # names of C++: the first namespace of each; DuckDB puts those of others' libraries behind its own name
    mangled = re.findall(rb"_ZNK?(\d{1,2})([a-z_0-9]+)", wasm.read_bytes())
    spaces = {name[: int(length)].decode() for length, name in mangled if 4 < int(length) <= len(name)}
    others = ("arrow", "rapidjson", "nonstd")
    libraries = {name.removeprefix("duckdb_") for name in spaces if name.startswith("duckdb_") or name in others}
    assert len(libraries) > 15
    text = (folder / "licences.txt").read_text()
    told = text.split("What its .wasm and its worker hold of others")[1].split("=" * 78)[0]
    assert {name for name in libraries if name not in told} == set()
