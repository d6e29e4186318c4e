"""The built page, and what a browser lets it do."""

import importlib.resources
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from jacdb.errors import UsageError

_CONNECT = "connect-src 'self'"
# A page of this origin loads nothing from elsewhere, is shown in no other page, and runs no text as code but wasm
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    f"{_CONNECT}; style-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'"
)
_ADDRESS = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?/[A-Za-z0-9._~%/=@+-]*")
_HUB, _HUB_FILES = "huggingface.co", "https://*.hf.co"  # the Hub redirects to hosts of another domain


def page_folder(package: Path | None = None) -> Path:
    """Return the folder of the built page.

    Args:
        package: the folder of ``jacdb.explorer``; None for this jacdb's.

    Raises:
        UsageError: it is not built, as in a fresh checkout, or jacdb was installed from one in which it was not.
    """
    folder = (package or Path(str(importlib.resources.files("jacdb.explorer")))) / "page"
    if not (folder / "index.html").is_file():
        built = "`make explorer` (it needs npm)"
        if (folder.parent / "web").is_dir():  # the page's sources, which no wheel has
            raise UsageError(f"the explorer's page is not built in this checkout: run {built}")
        raise UsageError(
            f"this jacdb was installed without the explorer's page: run {built} in the checkout that it was installed"
            " from, and install again; or install the wheel of a release"
        )
    return folder


def page_files(folder: Path) -> dict[str, Path]:
    """Return the files of a page by their addresses; links are left out."""
    found: dict[str, Path] = {}
    for where, _, names in os.walk(folder):
        paths = (Path(where) / name for name in names)
        found |= {path.relative_to(folder).as_posix(): path for path in paths if not path.is_symlink()}
    return found


def check_parts_address(address: str) -> str:
    """Return the address of a dataset's folder elsewhere, with a slash at its end.

    Raises:
        UsageError: it is none that a page can read from.
    """
    slashed = address if address.endswith("/") else f"{address}/"
    if not _ADDRESS.fullmatch(slashed):
        raise UsageError(f"--parts-at {address}: give an address such as https://HOST/FOLDER/, without ? and #")
    return slashed


def reading_from(html: str, address: str) -> str:
    """Return the page's HTML with a policy that lets it read from another host.

    Args:
        html: with the policy in a ``meta`` element.
        address: what :func:`check_parts_address` returned.
    """
    parts = urlsplit(address)
    hosts = [f"{parts.scheme}://{parts.netloc}", *([_HUB_FILES] if parts.hostname == _HUB else [])]
    return html.replace(_CONNECT, f"{_CONNECT} {' '.join(hosts)}", 1)
