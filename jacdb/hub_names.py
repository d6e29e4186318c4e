"""Names and addresses of repositories on the Hugging Face Hub: checked before what talks to the Hub is imported."""

import re

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # re-exported without __all__

from jacdb.errors import UsageError

_URL = re.compile(r"hf://datasets/(?P<name>[^/@]+/[^/@]+)(@(?P<revision>[^@]+?))?/?")


def check_name(name: str) -> str:
    """Return OWNER/NAME as it is, if a repository can have that name.

    Raises:
        UsageError: it can't.
    """
    wrong = f"no repository is called {name!r}: give OWNER/NAME, of letters, digits, '-', '_' and '.'"
    try:
        validate_repo_id(name)
    except HFValidationError:
        raise UsageError(wrong) from None
    if name.count("/") != 1:
        raise UsageError(wrong)
    return name


def parse_url(url: str) -> tuple[str, str | None]:
    """Return OWNER/NAME and revision of ``hf://datasets/OWNER/NAME[@REVISION]``.

    Raises:
        UsageError: it is not of that form.
    """
    parts = _URL.fullmatch(url)
    if not parts:
        raise UsageError(f"{url}: give hf://datasets/OWNER/NAME, or hf://datasets/OWNER/NAME@REVISION")
    return check_name(parts["name"]), parts["revision"]
