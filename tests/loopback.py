"""A Hugging Face Hub on loopback, for tests: what huggingface_hub 2.4 asks of it for datasets and Spaces, in memory.

It keeps private repositories private, tells tokens that may write from those that may not, stores large files by
their SHA-256 and serves them by ranges from a second port, as the Hub's CDN does. ``Hub.sent`` counts the bytes of
files that went out, ``Hub.taken`` the files that came in; ``Hub.cut_after`` lets uploads fail, and
``Hub.before_commit`` lets someone else commit meanwhile.
Uploads go over LFS (HF_HUB_DISABLE_XET=1).
"""

import base64
import hashlib
import json
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

DATE = "2026-01-01T00:00:00.000Z"
PAGE = 1000  # entries of a listing
SPACE = ":space"  # ends the name of a Space, beside a dataset's of the same name


class RefusedError(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass
class Repository:
    owner: str
    private: bool
    sdk: str = ""  # of a Space
    trees: dict[str, dict[str, str]] = field(default_factory=dict)  # by commit: SHA-256 of files by path
    tags: dict[str, str] = field(default_factory=dict)
    head: str = ""

    def commit(self, tree: dict[str, str]) -> str:
        text = f"{self.head} {sorted(tree.items())}"
        self.head = hashlib.sha1(text.encode()).hexdigest()
        self.trees[self.head] = tree
        return self.head

    def resolve(self, revision: str) -> tuple[str, dict[str, str]]:
        commit = {"main": self.head, **self.tags}.get(revision, revision)
        if commit not in self.trees:
            raise RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit, self.trees[commit]


@dataclass
class Hub:
    tokens: dict[str, tuple[str, bool]]  # name, and whether it may write
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)  # by SHA-256
    sent: int = 0
    taken: list[str] = field(default_factory=list)
    cut_after: int | None = None
    before_commit: list[Callable[[], object]] = field(default_factory=list)  # called once, by the next commit
    gone: set[str] = field(default_factory=set)  # objects that it has no more
    ignores_ranges: bool = False  # as some proxies do: the whole file comes
    status_of_files: int | None = None  # what it answers whoever asks where a file is
    lock: threading.RLock = field(default_factory=threading.RLock)
    url: str = ""
    cdn: str = ""

    def environment(self, home: Path) -> dict[str, str]:
        """What makes huggingface_hub meet this Hub, if it is there before it is imported."""
        names = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
        quiet = ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_UPDATE_CHECK", "HF_HUB_DISABLE_PROGRESS_BARS")
        return names | dict.fromkeys(quiet, "1")

    def keep(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        self.objects[digest] = content
        return digest

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        """What a repository holds, for tests to look at."""
        _, tree = self.repositories[name].resolve(revision)
        return {path: self.objects[digest] for path, digest in tree.items()}


def start(**tokens: tuple[str, bool]) -> Hub:
    """A Hub that answers as long as the process lives."""
    hub = Hub(tokens)
    handler = type("Handler", (_Handler,), {"hub": hub})
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
    hub.url, hub.cdn = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
    return hub


def is_large(path: str, content: bytes) -> bool:
    return path.endswith((".parquet", ".png", ".safetensors")) or len(content) > 5_000_000


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, status: int, payload: Any = b"", headers: dict[str, str] | None = None) -> None:
        content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def handle_request(self) -> None:
        chunked = self.headers.get("Transfer-Encoding", "").lower() == "chunked"
        self.body = b"".join(self._chunks()) if chunked else self.rfile.read(int(self.headers["Content-Length"] or 0))
        parts = urlsplit(self.path)
        path = re.sub(r"^(/api)?/spaces/([^/]+/[^/]+?)(?=\.git/|/|$)", rf"\1/datasets/\2{SPACE}", parts.path)
        self.query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        try:
            with self.hub.lock:
                for pattern, method in _ROUTES:
                    if found := re.fullmatch(pattern, f"{self.command} {path}"):
                        return method(self, *(unquote(word or "") for word in found.groups()))
                raise RefusedError(404, "EntryNotFound", f"no route {self.command} {parts.path}")
        except RefusedError as error:
            self.answer(
                error.status, {"error": str(error)}, {"X-Error-Code": error.code, "X-Error-Message": str(error)}
            )
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = handle_request

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def user(self) -> tuple[str, bool] | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if token and token not in self.hub.tokens:
            raise RefusedError(401, "", "Invalid credentials in Authorization header")
        return self.hub.tokens.get(token)

    def must_write(self, owner: str) -> None:
        user = self.user()
        if user is None:
            raise RefusedError(401, "", "Invalid username or password.")
        if user != (owner, True):
            raise RefusedError(403, "", "You don't have the rights to write to this namespace")

    def repository(self, name: str, *, write: bool = False) -> Repository:
        user, found = self.user(), self.hub.repositories.get(name)
        if found is None or (found.private and (user is None or user[0] != found.owner)):
            # the Hub does not tell a stranger whether a private repository is there
            raise RefusedError(404 if user else 401, "RepoNotFound", "Repository not found")
        if write:
            self.must_write(found.owner)
        return found

    def address(self, name: str) -> str:
        kind = "spaces" if name.endswith(SPACE) else "datasets"
        return f"{self.hub.url}/{kind}/{name.removesuffix(SPACE)}"

    # --- repositories ---------------------------------------------------------------------------------------

    def create(self) -> None:
        wanted = json.loads(self.body)
        user = self.user()
        owner = wanted.get("organization") or (user or ("",))[0]
        self.must_write(owner)
        space = wanted.get("type") == "space"
        if space and wanted.get("sdk") not in ("static", "gradio", "docker"):
            raise RefusedError(400, "", "a Space needs an sdk")
        name = f"{owner}/{wanted['name']}{SPACE if space else ''}"
        there = name in self.hub.repositories
        if not there:
            private = bool(wanted.get("private")) or wanted.get("visibility") == "private"
            made = self.hub.repositories[name] = Repository(owner, private, wanted.get("sdk", ""))
            made.commit(
                {".gitattributes": self.hub.keep(b"*.parquet filter=lfs\n*.png filter=lfs\n*.safetensors filter=lfs\n")}
            )
        self.answer(409 if there else 200, {"url": self.address(name), "name": name, "id": name})

    def validate(self) -> None:
        self.answer(200, {"errors": [], "warnings": []})

    def info(self, name: str, revision: str) -> None:
        repository = self.repository(name)
        commit, tree = repository.resolve(revision or "main")
        about = {"id": name, "author": repository.owner, "sha": commit, "private": repository.private, "gated": False}
        dates = {"lastModified": DATE, "createdAt": DATE}
        self.answer(
            200, {"_id": name, **about, **dates, "tags": [], "siblings": [{"rfilename": p} for p in sorted(tree)]}
        )

    def tree(self, name: str, revision: str, below: str) -> None:
        _, tree = self.repository(name).resolve(revision)
        start = f"{below}/" if below else ""
        inside = {path: digest for path, digest in tree.items() if path.startswith(start)}
        if not inside:
            raise RefusedError(404, "EntryNotFound", f"{below} does not exist")
        recursive = self.query.get("recursive", "").lower() == "true"
        entries: dict[str, dict[str, Any]] = {}
        for path, digest in inside.items():
            words = path.removeprefix(start).split("/")
            for depth in range(1, len(words) if recursive else min(len(words), 2)):
                folder = start + "/".join(words[:depth])
                entries[folder] = {
                    "type": "directory",
                    "path": folder,
                    "oid": hashlib.sha1(folder.encode()).hexdigest(),
                }
            if recursive or len(words) == 1:
                entries[path] = self.entry(path, digest)
        ordered = [entries[path] for path in sorted(entries)]
        at = int(self.query.get("cursor", 0))
        more = "&".join(f"{key}={quote(value)}" for key, value in {**self.query, "cursor": str(at + PAGE)}.items())
        link = (
            {"Link": f'<{self.hub.url}{urlsplit(self.path).path}?{more}>; rel="next"'}
            if at + PAGE < len(ordered)
            else {}
        )
        self.answer(200, ordered[at : at + PAGE], link)

    def entry(self, path: str, digest: str) -> dict[str, Any]:
        content = self.hub.objects[digest]
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        found = {"type": "file", "path": path, "size": len(content), "oid": git}
        if is_large(path, content):
            found["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 134}
        return found

    def paths(self, name: str, revision: str) -> None:
        _, tree = self.repository(name).resolve(revision)
        asked = json.loads(self.body)["paths"] if self.body[:1] == b"{" else parse_qs(self.body.decode())["paths"]
        commit = {"lastCommit": {"id": revision, "title": "", "date": DATE}}
        self.answer(200, [self.entry(path, tree[path]) | commit for path in asked if path in tree])

    def refs(self, name: str) -> None:
        repository = self.repository(name)
        tags = [{"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": at} for tag, at in repository.tags.items()]
        heads = [{"name": "main", "ref": "refs/heads/main", "targetCommit": repository.head}]
        self.answer(200, {"branches": heads, "converts": [], "tags": tags})

    def tag(self, name: str, revision: str) -> None:
        repository = self.repository(name, write=True)
        repository.tags[json.loads(self.body)["tag"]] = repository.resolve(revision)[0]
        self.answer(200, {})

    # --- uploads --------------------------------------------------------------------------------------------

    def preupload(self, name: str, revision: str) -> None:
        commit, tree = self.repository(name, write=True).resolve(revision)
        files = []
        for wanted in json.loads(self.body)["files"]:
            large = is_large(wanted["path"], b"") or wanted["size"] > 5_000_000
            there = tree.get(wanted["path"])
            oid = there and (there if large else self.entry(wanted["path"], there)["oid"])
            mode = "lfs" if large else "regular"
            files.append({"path": wanted["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.answer(200, {"files": files, "commitOid": commit})

    def batch(self, name: str) -> None:
        self.repository(name, write=True)
        objects = []
        for wanted in json.loads(self.body)["objects"]:
            one = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.hub.objects:
                one["actions"] = {"upload": {"href": f"{self.hub.cdn}/objects/{wanted['oid']}"}}
            objects.append(one)
        self.answer(200, {"transfer": "basic", "objects": objects}, {"Content-Type": "application/vnd.git-lfs+json"})

    def put(self, digest: str) -> None:
        if self.hub.cut_after is not None and len(self.hub.taken) >= self.hub.cut_after:
            self.connection.close()
            raise BrokenPipeError
        if self.hub.keep(self.body) != digest:
            raise RefusedError(400, "", "sha256 mismatch")
        self.hub.taken.append(digest)
        self.answer(200, {})

    def commit(self, name: str, _: str) -> None:
        repository = self.repository(name, write=True)
        tree = dict(repository.trees[repository.head])
        if self.hub.before_commit:
            self.hub.before_commit.pop()()
        for line in map(json.loads, self.body.splitlines()):
            value = line["value"]
            match line["key"]:
                case "header" if value.get("parentCommit") not in (None, repository.head):
                    raise RefusedError(412, "", "A commit has happened since. Please refresh and try again.")
                case "file":
                    tree[value["path"]] = self.hub.keep(base64.b64decode(value["content"]))
                case "lfsFile":
                    if value["oid"] not in self.hub.objects:
                        raise RefusedError(400, "", f"{value['path']} was not uploaded")
                    tree[value["path"]] = value["oid"]
                case "deletedFile":
                    del tree[value["path"]]
        commit = repository.commit(tree)
        self.answer(200, {"commitOid": commit, "commitUrl": f"{self.address(name)}/commit/{commit}"})

    # --- downloads ------------------------------------------------------------------------------------------

    def resolve(self, name: str, revision: str, path: str) -> None:
        commit, tree = self.repository(name).resolve(revision)
        if self.hub.status_of_files:
            raise RefusedError(self.hub.status_of_files, "", "not now")
        about = {"X-Repo-Commit": commit}
        if path not in tree:
            return self.answer(
                404, {}, {**about, "X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
            )
        content = self.hub.objects[tree[path]]
        if is_large(path, content):
            about |= {"X-Linked-Etag": f'"{tree[path]}"', "X-Linked-Size": str(len(content))}
            return self.answer(302, b"", {**about, "Location": f"{self.hub.cdn}/objects/{tree[path]}"})
        return self.send_content(tree[path], about)

    def object(self, digest: str) -> None:
        if digest in self.hub.gone:
            raise RefusedError(404, "EntryNotFound", "Entry not found")
        self.send_content(digest, {})

    def send_content(self, digest: str, about: dict[str, str]) -> None:
        content = self.hub.objects[digest]
        size, status = len(content), 200
        about = {**about, "ETag": f'"{digest}"', "Accept-Ranges": "bytes"}
        asked = "" if self.hub.ignores_ranges else self.headers.get("Range") or ""
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", asked):
            first, last = int(found[1]), min(int(found[2] or size), size - 1)
            if first >= size:
                return self.answer(416, b"", {"Content-Range": f"bytes */{size}"})
            content, status = content[first : last + 1], 206
            about["Content-Range"] = f"bytes {first}-{last}/{size}"
        if self.command == "GET":
            self.hub.sent += len(content)
        return self.answer(status, content, about)


_NAME, _API = "([^/]+/[^/]+)", "/api/datasets/([^/]+/[^/]+)"
_ROUTES = [
    ("POST /api/repos/create", _Handler.create),
    ("POST /api/validate-yaml", _Handler.validate),
    (f"(?:GET|HEAD) {_API}(?:/revision/([^/]+))?", _Handler.info),
    (f"GET {_API}/tree/([^/]+)(?:/(.*))?", _Handler.tree),
    (f"POST {_API}/paths-info/([^/]+)", _Handler.paths),
    (f"GET {_API}/refs", _Handler.refs),
    (f"POST {_API}/tag/([^/]+)", _Handler.tag),
    (f"POST {_API}/preupload/([^/]+)", _Handler.preupload),
    (f"POST {_API}/commit/([^/]+)", _Handler.commit),
    (f"POST /datasets/{_NAME}\\.git/info/lfs/objects/batch", _Handler.batch),
    ("PUT /objects/([0-9a-f]{64})", _Handler.put),
    ("(?:GET|HEAD) /objects/([0-9a-f]{64})", _Handler.object),
    (f"(?:GET|HEAD) /datasets/{_NAME}/resolve/([^/]+)/(.+)", _Handler.resolve),
]

# From here on the Hub, of this process and of those that it starts, is this one.
HUB = start(
    hf_alice=("alice", True), hf_alice_reads=("alice", False), hf_bob=("bob", True), hf_newcomer=("OWNER", True)
)
_HOME = tempfile.TemporaryDirectory()
os.environ.update(HUB.environment(Path(_HOME.name)))
os.environ.pop("HF_TOKEN", None)
