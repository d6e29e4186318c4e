"""The Hugging Face Hub as jacdb meets it: what is in a repository, and its refusals in one line."""

import hashlib
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from huggingface_hub import HfApi, constants, errors, hf_hub_download
from huggingface_hub.hf_api import RepoFile
from tqdm import tqdm

from jacdb.checksum import sha256_of
from jacdb.errors import FailureError, UsageError, first_line, told_with_remedy

POLICIES = "policies"  # the folder of a repository that has trained policies
_AGAIN = "the same command goes on from what was transferred"
_UPLOAD = re.compile(r"Error while uploading '(.+)' to the Hub")  # huggingface_hub's, whatever the cause is
_NOT_WHOLE = "Consistency check failed"  # its words for a download of another size than the file
_NETWORK = (errors.HTTPError, ConnectionError, TimeoutError)  # type: ignore[attr-defined]  # httpx's, hf_xet's


@dataclass(frozen=True)
class HubFile:
    """A file of a repository: its size in bytes, its SHA-256 where the Hub keeps it (large files), its git hash."""

    size: int
    sha256: str | None
    git: str

    def holds(self, file: Path, sha256: str | None = None) -> bool:
        """Return whether it has the bytes of a local file, whose checksum may be known."""
        if file.stat().st_size != self.size:
            return False
        if self.sha256:
            return (sha256 or sha256_of(file)) == self.sha256
        blob = file.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(blob) + blob, usedforsecurity=False).hexdigest() == self.git


@dataclass(frozen=True)
class Snapshot:
    """A repository at one commit.

    Attributes:
        name: OWNER/NAME.
        commit: the commit's hash: it stays what it is, whatever is published later.
        files: what is in it, by path.
    """

    name: str
    commit: str
    files: dict[str, HubFile]

    @classmethod
    def take(cls, name: str, revision: str | None = None, kind: str = "dataset") -> Self:
        """Take a snapshot of a repository at a branch, tag or commit; by default, of now.

        Args:
            name: OWNER/NAME.
            revision: branch, tag or commit.
            kind: ``dataset`` or ``space``.

        Raises:
            UsageError: no such repository or revision, or none for this token.
            FailureError: the Hub can't be reached, or fails.
        """
        api = HfApi()
        with explained(name, revision, kind):
            commit = api.repo_info(name, repo_type=kind, revision=revision).sha or ""
            tree = api.list_repo_tree(name, repo_type=kind, revision=commit, recursive=True)
            files = {
                entry.path: HubFile(entry.size, entry.lfs.sha256 if entry.lfs else None, entry.blob_id)
                for entry in tree
                if isinstance(entry, RepoFile)
            }
        return cls(name, commit, files)

    def fetch(self, path: str, folder: Path, meter: "type[Silent] | None" = None) -> Path:
        """Fetch a file of a dataset into a folder, below which it has the same path; return its place.

        Args:
            path: the file's path.
            folder: the folder; a file that it has already, from this commit, is not fetched again.
            meter: what shows the progress.

        Raises:
            UsageError: the file or the repository is not there for this token.
            FailureError: the Hub can't be reached, or fails.
        """
        with explained(self.name, self.commit):
            file = hf_hub_download(
                self.name,
                path,
                repo_type="dataset",
                revision=self.commit,
                local_dir=folder,
                tqdm_class=meter or Silent,
            )
        return Path(file)


def policy_path(env: str) -> str:
    """Return the path at which a repository has the policy for an environment."""
    return f"{POLICIES}/{env}.safetensors"


def policy(name: str, revision: str | None, env: str, max_bytes: int) -> Path:
    """Fetch a trained policy (``policies/ENV.safetensors``) out of a dataset repository into the Hub's cache.

    Raises:
        UsageError: there is no such repository, revision or policy, or the file is larger than a policy can be.
        FailureError: the Hub can't be reached.
    """
    snapshot, path = Snapshot.take(name, revision), policy_path(env)
    if path not in snapshot.files:
        policies = sorted(file for file in snapshot.files if file.startswith(f"{POLICIES}/"))
        raise UsageError(f"{name} has no {path}: there are {', '.join(policies) or 'no policies'}")
    if snapshot.files[path].size > max_bytes:
        raise UsageError(f"{name}: {path} has {snapshot.files[path].size:,} bytes, a policy {max_bytes:,} at most")
    with explained(name, revision):
        cached = hf_hub_download(name, path, repo_type="dataset", revision=snapshot.commit, tqdm_class=Silent)
    return Path(cached)


class Silent(tqdm):
    """A progress bar for huggingface_hub that draws nothing."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.pop("name", None)
        super().__init__(*args, **{**options, "disable": True})


@contextmanager
def explained(name: str, revision: str | None = None, kind: str = "dataset") -> Iterator[None]:
    """Say in one line what the Hub refused, and the remedy.

    Raises:
        UsageError: a wrong name, revision or token.
        FailureError: no connection, or an error of the Hub.
    """
    log_in = "`hf auth login`, or HF_TOKEN"
    try:
        with _located():
            yield
    except errors.RevisionNotFoundError as error:
        raise UsageError(f"{name} has no revision {revision!r}: give a branch, a tag or a commit of it") from error
    except errors.OfflineModeIsEnabled as error:
        raise UsageError("HF_HUB_OFFLINE is set: unset it to reach the Hub") from error
    except errors.LocalTokenNotFoundError as error:
        raise UsageError(f"no token: log in with {log_in}") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status == 401 and "Invalid credentials" in str(error):
            raise UsageError(f"the Hub does not know this token: log in again with {log_in}") from error
        if status == 401 and not isinstance(error, errors.RepositoryNotFoundError):
            raise UsageError(f"the Hub asks who this is: log in with {log_in}") from error
        if status == 403:
            raise UsageError(
                f"this token may not do that to {name}: give one that may write to it ({log_in})"
            ) from error
        if isinstance(error, errors.RepositoryNotFoundError):
            raise UsageError(
                f"the Hub shows no {kind} {name}: check the name; if it is private, log in with {log_in}"
            ) from error
        is_read = error.response.request.method in ("GET", "HEAD")
        if status in (409, 412) and not is_read:  # it is there already, or the commit's parent is the last one no more
            raise FailureError(f"someone else published to {name} meanwhile: run the same command again") from error
        raise FailureError(f"the Hub said no ({status}): {first_line(error)[:200]}; {_AGAIN}") from error
    except BrokenPipeError:  # of this process's own output; a connection's is httpx's
        raise
    except _NETWORK as error:
        why = first_line(error)[:200]
        raise FailureError(
            f"can't reach the Hub at {constants.ENDPOINT} ({why}): check the network; {_AGAIN}"
        ) from error
    except OSError as error:
        if not str(error).startswith(_NOT_WHOLE):
            raise
        raise FailureError(f"{name}: {first_line(error)[:200]}: check the network; {_AGAIN}") from error
    except RuntimeError as error:
        if not (upload := _UPLOAD.match(str(error))) and not _is_of_transfer(error):
            raise
        what = f"{upload[1]} was not uploaded" if upload else "a transfer failed"
        raise FailureError(f"{name}: {what}{_why_and_remedy(error)}; {_AGAIN}") from error


@contextmanager
def _located() -> Iterator[None]:
    """Raise what the Hub said when it was asked where a file is; huggingface_hub says that its cache lacks the file.

    Raises:
        Exception: the Hub's refusal, or the network's failure.
    """
    try:
        yield
    except errors.LocalEntryNotFoundError as error:
        raise (error.__cause__ if isinstance(error.__cause__, Exception) else error) from None


def _is_of_transfer(error: RuntimeError) -> bool:
    """Return whether hf_xet raised an error, which is compiled: where it is raised is a call by huggingface_hub."""
    if type(error) is not RuntimeError:
        return False
    if isinstance(error.__cause__, _NETWORK):
        return True
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__")).startswith("huggingface_hub.")


def _why_and_remedy(error: RuntimeError) -> str:
    """Return why a transfer failed, which is the error's cause if it has one: the network, this disk, or neither."""
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    if isinstance(cause, OSError) and not isinstance(cause, _NETWORK):
        return f": {told_with_remedy(cause)}"
    why = f" ({first_line(cause)[:200]})"
    return f"{why}: check the network" if cause is error or isinstance(cause, _NETWORK) else why
