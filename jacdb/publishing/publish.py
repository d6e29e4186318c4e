"""Publish a dataset on the Hugging Face Hub: check it, write its card, and send what has changed."""

import importlib.resources
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, errors

from jacdb import hub, hub_names, schemas
from jacdb.checksum import sha256_of
from jacdb.counted import counted
from jacdb.dataset import integrity, learning_files
from jacdb.dataset.dataset import Dataset
from jacdb.dataset.folder import FinishedRuns
from jacdb.dataset.layout import PartPath, Run
from jacdb.dataset.schema_version import refuse_former
from jacdb.errors import FailureError, UsageError
from jacdb.merging import learning_runs
from jacdb.progress import Event
from jacdb.publishing import card


@dataclass(frozen=True)
class Publication:
    """The files that a repository shall hold.

    Attributes:
        name: OWNER/NAME.
        files: the local files, by their paths in the repository; without card and picture.
        sums: the SHA-256 of the files that were checked, and of the checksums that they were compared with.
        card: the text of README.md.
        picture: the card's picture, PNG; None if it has none.
        left_out: runs that are not finished.
    """

    name: str
    files: dict[str, Path]
    sums: dict[str, str]
    card: str
    picture: bytes | None
    left_out: list[Run]

    def sizes(self) -> dict[str, int]:
        """Return the bytes of every file, by path."""
        written = {path: len(content) for path, content in self.written().items()}
        return written | {path: file.stat().st_size for path, file in self.files.items()}

    def written(self) -> dict[str, bytes]:
        """Return the contents of the files that are made for the repository, by path."""
        picture = {} if self.picture is None else {card.PICTURE: self.picture}
        return {"README.md": self.card.encode(), **picture}


@dataclass(frozen=True)
class Published:
    """The result of publishing: the repository's address, its commit, and how many files and bytes were sent."""

    url: str
    commit: str
    n_files: int
    n_bytes: int

    def describe(self, tag: str | None) -> str:
        """Return one line for people."""
        tagged = f", tagged {tag}" if tag else ""
        at = f"{self.url} at {self.commit}{tagged}"
        if not self.n_files:
            return f"{at}: nothing had changed"
        return f"{at}: {counted(self.n_files, 'file')}, {self.n_bytes:,} bytes"


def prepare(root: Path | str, name: str, report: Callable[[Event], None] = lambda event: None) -> Publication:
    """Check the finished runs of a dataset and write its card; the Hub is not contacted.

    Args:
        root: the dataset's folder.
        name: OWNER/NAME of the repository.
        report: called with progress.

    Raises:
        UsageError: there is no dataset, it is of a former version, no run is finished, or the name is not valid for a
            repository.
        FailureError: a file does not have the checksum that its run gives.
    """
    hub_names.check_name(name)
    if str(root).startswith("hf:"):
        raise UsageError(f"--data {root} is on the Hub already: give a folder")
    finished = FinishedRuns(root)
    refuse_former(finished.path, root, "version {} is published")
    files = {run.manifest: finished.path / run.manifest for run in finished.runs}
    sums = {path: sha256_of(file) for path, file in files.items()} | finished.sums
    files |= {path: finished.path / path for path in finished.sums}
    integrity.refuse_damaged(finished, report, "nothing was published")
    learned = _learned(finished.path)
    files |= {path: finished.path / path for path in learned}
    report(Event("writing the card"))
    with Dataset(finished) as dataset:
        own = dataset.runs().filter(suite=schemas.PLAYGROUND)["env"].unique().to_list()
        policies = _policies(own)  # a model of one's own may be called like an environment of Playground's
        text, picture = card.write(dataset, name, policies), card.picture(dataset)
    files |= policies
    return Publication(name, files, sums | learned, text, picture, finished.unfinished)


def _learned(root: Path) -> dict[str, str]:
    """Return the files of learning runs with their checksums, by path.

    Raises:
        FailureError: one is damaged.
    """
    sums: dict[str, str] = {}
    for run in learning_files.in_folder(root):
        if found := learning_files.problem(root, run):
            raise FailureError(learning_files.refusal(root, run, found, "nothing was published"))
        sums |= {path: sha256_of(root / path) for path in (learning_files.scores_of(run), learning_files.row_of(run))}
    return sums


def _policies(envs: list[str]) -> dict[str, Path]:
    """Return the experts that come with jacdb for these environments, by their paths in the repository."""
    folder = Path(str(importlib.resources.files("jacdb.experts")))
    paths = {path: folder / Path(path).name for path in map(hub.policy_path, envs)}
    return {path: file for path, file in paths.items() if file.is_file()}


def publish(publication: Publication, *, private: bool = False, tag: str | None = None) -> Published:
    """Commit a publication to a repository's main branch; nothing is committed if it has not changed.

    Large files that an interrupted call has sent are not sent again. No run in the repository is lost: one with runs
    that the publication lacks, or with more or different scores of a learning run, is refused.

    Args:
        private: make a new repository private.
        tag: a tag for the commit; it must be new.

    Raises:
        UsageError: the repository is public, or has such a tag, or more runs or scores, or different scores; no token,
            or none that may write.
        FailureError: a file is not what it was when it was checked, the Hub can't be reached, or fails, or someone else
            has published meanwhile.
    """
    name, api = publication.name, HfApi()
    with hub.explained(name):
        _make(api, name, private)
        snapshot = hub.Snapshot.take(name)
        _refuse_more_runs(publication, snapshot)
        _refuse_other_scores(publication, snapshot)
        with tempfile.TemporaryDirectory() as folder:
            fresh = _fresh(publication, snapshot, Path(folder))
            stale = _stale(publication, snapshot)
            tagged = {ref.name: ref.target_commit for ref in api.list_repo_refs(name, repo_type="dataset").tags}
            if tag in tagged and (fresh or stale or tagged[tag] != snapshot.commit):
                raise UsageError(f"{name} has a tag {tag} already, on other data: give the next version")
            commit = snapshot.commit
            if fresh or stale:
                info = api.create_commit(
                    name,
                    repo_type="dataset",
                    operations=[*fresh, *map(CommitOperationDelete, stale)],
                    commit_message=f"jacdb: {len(fresh)} files of {len(publication.files | publication.written())}",
                    parent_commit=snapshot.commit,  # or the card would not name the runs of who came in between
                )
                commit = info.oid
        if tag and tag not in tagged:
            api.create_tag(name, tag=tag, revision=commit, repo_type="dataset")
    n_bytes = sum(addition.upload_info.size for addition in fresh)
    return Published(f"{constants.ENDPOINT}/datasets/{name}", commit, len(fresh), n_bytes)


def _make(api: HfApi, name: str, private: bool) -> None:
    """Create the repository if there is none."""
    try:
        info = api.repo_info(name, repo_type="dataset")
    except errors.RepositoryNotFoundError:
        api.create_repo(name, repo_type="dataset", private=private, exist_ok=True)
        return
    if private and not info.private:
        raise UsageError(f"{name} is there already, and public: --private is for a new one; change it on the Hub")


def _refuse_more_runs(publication: Publication, snapshot: hub.Snapshot) -> None:
    """Refuse a repository that holds runs which the publication lacks: its card would not name them."""
    ours = {(part.run.env, part.run.run_id) for part in map(PartPath.parse, publication.files) if part}
    stored = {part.run for part in map(PartPath.parse, snapshot.files) if part}
    more = {run for run in stored if (run.env, run.run_id) not in ours}
    if more:
        first = min(more)
        raise UsageError(
            f"{snapshot.name} holds {counted(len(more), 'run')} that this folder lacks, such as {first.run_id} of"
            f" {first.env}, and its card would not name them: `jacdb pull {snapshot.name}` into it first, or delete"
            " them on the Hub"
        )


def _refuse_other_scores(publication: Publication, snapshot: hub.Snapshot) -> None:
    """Refuse to replace a learning run in the repository by the same one with fewer or with different scores."""
    for path, file in publication.files.items():
        part, stored = PartPath.parse(path), snapshot.files.get(path)
        if part is None or part.table != learning_files.RUNS or stored is None:
            continue
        if stored.holds(file, publication.sums[path]):
            continue
        run, root = part.run, file.parents[len(Path(path).parents) - 1]
        with tempfile.TemporaryDirectory() as folder:
            for one in (path, learning_files.scores_of(run)):
                if one in snapshot.files:
                    snapshot.fetch(one, Path(folder))
            if learning_files.problem(Path(folder), run):  # nobody can pull it, and nothing is lost
                continue
            differ = learning_runs.differ(root, Path(folder), run)
            theirs, ours = learning_runs.n_scores(Path(folder), run), learning_runs.n_scores(root, run)
        if differ:
            raise UsageError(
                f"learning run {run.run_id} of {run.env} is in {root} and in {snapshot.name}, with different scores:"
                f" remove {file.parent} and `jacdb pull {snapshot.name}` to have the Hub's, or delete that run on the"
                " Hub to replace it"
            )
        if theirs > ours:
            raise UsageError(
                f"{snapshot.name} has {theirs} scores of learning run {run.run_id} of {run.env}, this folder {ours}:"
                f" `jacdb pull {snapshot.name}` into it first, or delete that run on the Hub"
            )


def _fresh(publication: Publication, snapshot: hub.Snapshot, folder: Path) -> list[CommitOperationAdd]:
    """Return what adds the files that the repository lacks, and the card, which is written into a folder.

    A command that writes the dataset may have come between: a learning run scored anew, of which the scores would be
    new and the row old, nobody could pull.

    Raises:
        FailureError: a file is not what it was when it was checked.
    """
    places = dict(publication.files)
    for path, content in publication.written().items():
        places[path] = folder / path
        places[path].parent.mkdir(exist_ok=True)
        places[path].write_bytes(content)
    additions = []
    for path, file in places.items():
        stored, expected = snapshot.files.get(path), publication.sums.get(path)
        if file.is_file():
            if stored and stored.holds(file, expected):
                continue
            # small text is sent as it is now: the Hub has no checksum of it to refuse another by
            addition = CommitOperationAdd(path, file.read_bytes() if Run.from_manifest(path) else file)
            if expected in (None, addition.upload_info.sha256.hex()):
                additions.append(addition)
                continue
        raise FailureError(
            f"{file} is gone or has changed since it was checked: nothing was published; let the command that"
            " writes it end, and repeat this one"
        )
    return additions


def _stale(publication: Publication, snapshot: hub.Snapshot) -> list[str]:
    """Return the files of runs in the repository that their run has no more, or has under other names by now."""
    of_runs = (
        path for path in snapshot.files if PartPath.parse(path) or Run.from_manifest(path) or Run.from_model(path)
    )
    return [path for path in of_runs if path not in publication.files]
