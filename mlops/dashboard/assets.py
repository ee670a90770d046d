"""Style sheets, scripts and the icon: read once, compressed once, and kept by browsers as long as they
stay as they are, since a page names each by its hash."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

FOREVER = "public, max-age=31536000, immutable"
_KINDS = frozenset({".css", ".js", ".svg"})


@dataclass(frozen=True, slots=True)
class _Asset:
    content: bytes
    compressed: bytes
    media_type: str
    hash: str


class Assets:
    """ASGI app of the files below a folder; what is no style sheet, script or icon is not there (404)."""

    def __init__(self, folder: Path, mount: str = "/static") -> None:
        self._mount = mount
        self._assets = {
            path.relative_to(folder).as_posix(): _read(path)
            for path in sorted(folder.rglob("*"))
            if path.suffix in _KINDS
        }

    def url(self, name: str) -> str:
        """Where a page finds the file; raises `KeyError` for one that is not there."""
        return f"{self._mount}/{name}?v={self._assets[name].hash}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the file, compressed for who takes it so."""
        name = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/")
        await self._answer(name, scope)(scope, receive, send)

    def _answer(self, name: str, scope: Scope) -> Response:
        asset = self._assets.get(name)
        if scope["method"] not in ("GET", "HEAD"):
            return Response(status_code=405)
        if asset is None:
            return Response(status_code=404)
        asked = parse_qs(scope["query_string"].decode("latin-1")).get("v")
        # Asked for by an older hash it is the newest all the same, and not to be kept as the old one.
        keeping = FOREVER if asked == [asset.hash] else "no-cache"
        headers = {"Cache-Control": keeping, "ETag": f'"{asset.hash}"', "Vary": "Accept-Encoding"}
        given = Headers(scope=scope)
        if headers["ETag"] in given.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" not in given.get("accept-encoding", ""):
            return Response(asset.content, headers=headers, media_type=asset.media_type)
        headers["Content-Encoding"] = "gzip"
        return Response(asset.compressed, headers=headers, media_type=asset.media_type)


def _read(path: Path) -> _Asset:
    content = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return _Asset(content, gzip.compress(content, 9, mtime=0), kind, hashlib.sha256(content).hexdigest()[:12])
