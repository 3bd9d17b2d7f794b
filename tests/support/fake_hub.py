"""A model and dataset Hub on the loopback interface, for tests of the real clients.

It speaks the part of the protocol that downloads use: repository information, file trees, path information, and file
resolution with the commit, entity tag and redirect headers, byte ranges included. Large-file extensions are answered
as the Hub answers them, by a redirect to another address that carries the sha256 as the linked entity tag.

The clients read their endpoint and their cache folders when they are imported, so a test runs them in a process of
its own, under `FakeHub.environment`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = {".safetensors", ".parquet", ".bin", ".pt", ".arrow"}
KINDS = ("models", "datasets")

_REPO = r"(?P<repo>[^/]+/[^/]+)"
_API = rf"/api/(?P<kind>models|datasets)/{_REPO}"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True)
class Commit:
    """The files of a repository at one commit; its id follows from them and from the commit before."""

    files: Mapping[str, bytes]
    parent: str | None = None

    @property
    def sha(self) -> str:
        state = hashlib.sha1((self.parent or "").encode())
        for name, data in sorted(self.files.items()):
            state.update(f"{name}\0{hashlib.sha256(data).hexdigest()}\n".encode())
        return state.hexdigest()


@dataclass
class Repo:
    """Commits by id, and the refs (branches, `refs/convert/parquet`) that point to them."""

    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, files: Mapping[str, bytes], ref: str) -> str:
        commit = Commit(dict(files), self.refs.get(ref))
        self.commits[commit.sha] = commit
        self.refs[ref] = commit.sha
        return commit.sha

    def at(self, revision: str) -> Commit | None:
        return self.commits.get(self.refs.get(revision, revision))


class _Refused(Exception):
    """An answer that the Hub gives with one of its error codes."""

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class FakeHub:
    """The server, as a context manager.

    Args:
        root: Optional folder of repositories laid out as `models/<owner>/<name>/...` and
            `datasets/<owner>/<name>/...`; each becomes the first commit of its `main` branch.

    Attributes:
        requests: "METHOD path" of every request so far, in order.
        gated: Repository ids whose files are answered 403 with the code of a gated repository.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.requests: list[str] = []
        self.gated: set[str] = set()
        # The client follows a redirect by itself while it stays on one address; large files lie on another one.
        handler = type("Handler", (_Handler,), {"hub": self})
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in ("hub", "storage")]
        self._threads = [threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True) for server in self._servers]
        for kind in KINDS if root else ():
            for folder in sorted(path for path in (Path(root or ".") / kind).glob("*/*") if path.is_dir()):
                self.add(kind, f"{folder.parent.name}/{folder.name}", folder)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()

    @property
    def endpoint(self) -> str:
        """Address of the Hub, what HF_ENDPOINT is set to."""
        return f"http://127.0.0.1:{self._servers[0].server_address[1]}"

    @property
    def storage(self) -> str:
        """Address that large files are redirected to."""
        return f"http://127.0.0.1:{self._servers[1].server_address[1]}"

    def add(self, kind: str, repo: str, files: Path | Mapping[str, bytes], ref: str = "main") -> str:
        """Commit a folder, or files by name, on a ref of a repository (made when absent); return the commit's id."""
        if isinstance(files, Path):
            found = sorted(path for path in files.rglob("*") if path.is_file())
            files = {path.relative_to(files).as_posix(): path.read_bytes() for path in found}
        return self.repos.setdefault((kind, repo), Repo()).commit(files, ref)

    def environment(self, home: Path, *, offline: bool = False) -> dict[str, str]:
        """This process' environment with the clients pointed here and their caches under `home`."""
        own = {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_OFFLINE": "1" if offline else "0",
            "OMP_NUM_THREADS": "1",
        }
        # Caches, tokens and proxies of the surrounding shell would lead the client elsewhere.
        strange = re.compile(r"(HF_|HUGGING|TRANSFORMERS_|DATASETS_|.*_proxy$)", re.IGNORECASE)
        return {name: value for name, value in os.environ.items() if not strange.match(name)} | own

    def run(self, script: str, home: Path, *arguments: str, offline: bool = False) -> Any:
        """Run a script in a fresh interpreter under `environment` and return the JSON value of its last line of output."""
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            env=self.environment(home, offline=offline),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode != 0:
            raise AssertionError(f"the client process failed:\n{done.stdout}\n{done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])

    def find(self, kind: str, repo: str, revision: str) -> Commit:
        """The commit that a revision names, or the Hub's refusal."""
        known = self.repos.get((kind, repo))
        if known is None:
            raise _Refused(HTTPStatus.NOT_FOUND, "RepoNotFound", "Repository not found")
        commit = known.at(revision)
        if commit is None:
            raise _Refused(HTTPStatus.NOT_FOUND, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def blob(self, oid: str) -> bytes:
        """The content of a large file by its sha256."""
        for repo in self.repos.values():
            for commit in repo.commits.values():
                for data in commit.files.values():
                    if hashlib.sha256(data).hexdigest() == oid:
                        return data
        raise _Refused(HTTPStatus.NOT_FOUND, "EntryNotFound", "no such object")


def _is_large(name: str) -> bool:
    return PurePosixPath(name).suffix in LARGE


def _git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _file_entry(name: str, data: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": name, "size": len(data), "oid": _git_oid(data)}
    if _is_large(name):
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return entry


def _folder_entry(name: str) -> dict[str, Any]:
    return {"type": "directory", "path": name, "size": 0, "oid": hashlib.sha1(name.encode()).hexdigest()}


def _folders(commit: Commit) -> set[str]:
    return {parent.as_posix() for name in commit.files for parent in PurePosixPath(name).parents if parent.name}


def _tree(commit: Commit, folder: str, recursive: bool) -> list[dict[str, Any]]:
    def inside(name: str) -> bool:
        parent = PurePosixPath(name).parent.as_posix()
        wanted = folder or "."
        return parent == wanted or (recursive and (wanted == "." or parent.startswith(f"{wanted}/")))

    if folder and folder not in _folders(commit):
        raise _Refused(HTTPStatus.NOT_FOUND, "EntryNotFound", f"{folder} does not exist")
    folders = [_folder_entry(name) for name in _folders(commit) if inside(name)]
    return sorted([*folders, *(_file_entry(n, d) for n, d in commit.files.items() if inside(n))], key=lambda entry: str(entry["path"]))


def _paths(commit: Commit, names: list[str]) -> list[dict[str, Any]]:
    files = [_file_entry(name, commit.files[name]) for name in names if name in commit.files]
    return [*files, *(_folder_entry(name) for name in names if name in _folders(commit))]


def _information(kind: str, repo: str, commit: Commit) -> dict[str, Any]:
    return {
        "_id": hashlib.sha1(repo.encode()).hexdigest()[:24],
        "id": repo,
        "author": repo.split("/")[0],
        "sha": commit.sha,
        "private": False,
        "disabled": False,
        "gated": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": [{"rfilename": name} for name in sorted(commit.files)],
        **({"modelId": repo} if kind == "models" else {}),
    }


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *values: object) -> None:
        pass

    def _answer(self) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        # Read even where unused: what is left of a body would be taken for the next request.
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        form = _form(body, self.headers.get("Content-Type") or "")
        try:
            for pattern, action in _ROUTES:
                if match := pattern.fullmatch(url.path):
                    parts = {name: unquote(value or "") for name, value in match.groupdict().items()}
                    return action(self, parts, query | form)
            raise _Refused(HTTPStatus.NOT_FOUND, "", f"no route for {url.path}")
        except _Refused as refusal:
            headers = {"X-Error-Code": refusal.code, "X-Error-Message": refusal.message}
            self._send(refusal.status, json.dumps({"error": refusal.message}).encode(), headers)

    def _json(self, value: object) -> None:
        self._send(HTTPStatus.OK, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _information(self, parts: dict[str, str], _: dict[str, list[str]]) -> None:
        commit = self.hub.find(parts["kind"], parts["repo"], parts.get("revision", "main"))
        self._json(_information(parts["kind"], parts["repo"], commit))

    def _tree(self, parts: dict[str, str], query: dict[str, list[str]]) -> None:
        recursive = query.get("recursive", ["false"])[0].lower() in ("true", "1")
        commit = self.hub.find(parts["kind"], parts["repo"], parts["revision"])
        self._json(_tree(commit, parts["path"].strip("/"), recursive))

    def _paths(self, parts: dict[str, str], query: dict[str, list[str]]) -> None:
        self._json(_paths(self.hub.find(parts["kind"], parts["repo"], parts["revision"]), query.get("paths", [])))

    def _resolve(self, parts: dict[str, str], _: dict[str, list[str]]) -> None:
        kind = "datasets" if parts["kind"] else "models"
        if parts["repo"] in self.hub.gated:
            raise _Refused(HTTPStatus.FORBIDDEN, "GatedRepo", "Access to this repository is restricted")
        commit = self.hub.find(kind, parts["repo"], parts["revision"])
        data = commit.files.get(parts["path"])
        if data is None:
            raise _Refused(HTTPStatus.NOT_FOUND, "EntryNotFound", f"{parts['path']} not found")
        headers = {"X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
        if not _is_large(parts["path"]):
            return self._bytes(data, headers | {"ETag": f'"{_git_oid(data)}"'})
        oid = hashlib.sha256(data).hexdigest()
        linked = {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(data)), "Location": f"{self.hub.storage}/cdn/{oid}"}
        self._send(HTTPStatus.FOUND, b"", headers | linked)

    def _cdn(self, parts: dict[str, str], _: dict[str, list[str]]) -> None:
        self._bytes(self.hub.blob(parts["oid"]), {"ETag": f'"{parts["oid"]}"', "Accept-Ranges": "bytes"})

    def _bytes(self, data: bytes, headers: dict[str, str]) -> None:
        match = _RANGE.fullmatch(self.headers.get("Range") or "")
        if not match:
            return self._send(HTTPStatus.OK, data, headers)
        first, last = match.groups()
        start = int(first) if first else max(len(data) - int(last or 0), 0)
        stop = min(int(last) + 1, len(data)) if first and last else len(data)
        if start >= len(data):
            return self._send(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", {"Content-Range": f"bytes */{len(data)}"})
        span = {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}
        self._send(HTTPStatus.PARTIAL_CONTENT, data[start:stop], headers | span)

    def _send(self, status: HTTPStatus, data: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


_ROUTES: list[tuple[re.Pattern[str], Callable[..., None]]] = [
    (re.compile(pattern), action)
    for pattern, action in (
        (_API, _Handler._information),
        (rf"{_API}/revision/(?P<revision>[^/]+)", _Handler._information),
        (rf"{_API}/tree/(?P<revision>[^/]+)(?P<path>/.*)?", _Handler._tree),
        (rf"{_API}/paths-info/(?P<revision>[^/]+)", _Handler._paths),
        (rf"/(?P<kind>datasets/)?{_REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", _Handler._resolve),
        (r"/cdn/(?P<oid>[0-9a-f]{64})", _Handler._cdn),
    )
]


def _form(body: bytes, content_type: str) -> dict[str, list[str]]:
    if not body:
        return {}
    if "json" in content_type:
        values = json.loads(body)
        return {name: [str(v) for v in value] if isinstance(value, list) else [str(value)] for name, value in values.items()}
    return parse_qs(body.decode())
