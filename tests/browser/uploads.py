"""A stand-in for the server's side of an upload, in memory: it knows what it has got, and remembers nothing else. The
real one is tested beside it; this one lets a test of the page put any answer in between.
"""

import asyncio
import itertools
import struct
from base64 import b64decode
from typing import Final

from blake3 import blake3
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

BYTES_PER_SECOND: Final = 40_000_000
"""So that an eye can follow."""


class Uploads:
    """`routes` of the calls that the uploader makes."""

    def __init__(self) -> None:
        self.digests: set[str] = set()
        self.parts: dict[str, tuple[str, int, bytearray]] = {}
        self._numbers = itertools.count(1)
        self.routes = [
            Route("/api/v1/blobs/missing", self.missing, methods=["POST"]),
            Route("/api/v1/blobs", self.batch, methods=["POST"]),
            Route("/api/v1/devices/1/manifests", self.name, methods=["POST"]),
            Route("/api/v1/devices/1/files/originals/{path:path}", self.put, methods=["PUT"]),
            Route("/api/v1/uploads", self.create, methods=["POST"]),
            Route("/api/v1/uploads/{upload}", self.offset, methods=["HEAD"]),
            Route("/api/v1/uploads/{upload}", self.patch, methods=["PATCH"]),
            Route("/api/v1/uploads/{upload}", self.delete, methods=["DELETE"]),
        ]

    async def missing(self, request: Request) -> Response:
        asked: list[str] = (await request.json())["digests"]
        return JSONResponse({"missing": [digest for digest in asked if digest not in self.digests]})

    async def batch(self, request: Request) -> Response:
        body = await _body(request)
        stored: list[str] = []
        deduplicated: list[str] = []
        at = 0
        while at < len(body):
            raw, size = struct.unpack_from(">32sQ", body, at)
            at += 40 + size
            assert blake3(body[at - size : at]).digest() == raw
            (deduplicated if raw.hex() in self.digests else stored).append(raw.hex())
        self.digests.update(stored)
        return JSONResponse({"stored": stored, "deduplicated": deduplicated, "rejected": []})

    async def name(self, request: Request) -> Response:
        entries = (await request.json())["entries"]
        files = [entry for entry in entries if entry["type"] == "file"]
        unknown = [file["digest"] for file in files if file["digest"] not in self.digests]
        if unknown:
            return JSONResponse({"detail": "Some bytes are missing.", "missing": unknown}, 409)
        if any("bad" in entry["path"] for entry in entries):
            return _refused()
        return JSONResponse({"manifest": "1", "added": len(entries), "replaced": 0, "unchanged": 0, "removed": 0}, 201)

    async def put(self, request: Request) -> Response:
        digest = blake3(await _body(request)).hexdigest()
        if "bad" in request.path_params["path"]:
            return _refused()
        known = digest in self.digests
        self.digests.add(digest)
        return JSONResponse({"entry": "1", "digest": digest, "deduplicated": known}, 201)

    async def create(self, request: Request) -> Response:
        metadata = dict(pair.split(" ") for pair in request.headers["upload-metadata"].split(","))
        upload, size = str(next(self._numbers)), int(request.headers["upload-length"])
        self.parts[upload] = b64decode(metadata["digest"]).decode(), size, bytearray()
        return await self._take(upload, request, 201)

    async def offset(self, request: Request) -> Response:
        part = self.parts.get(request.path_params["upload"])
        if part is None:
            return Response(status_code=404)
        return Response(headers=_tus(part[2]) | {"Upload-Length": str(part[1])})

    async def patch(self, request: Request) -> Response:
        upload = request.path_params["upload"]
        if upload not in self.parts:
            return Response(status_code=404)
        if int(request.headers["upload-offset"]) != len(self.parts[upload][2]):
            return Response(status_code=409)
        return await self._take(upload, request, 204)

    async def delete(self, request: Request) -> Response:
        self.parts.pop(request.path_params["upload"], None)
        return Response(status_code=204)

    async def _take(self, upload: str, request: Request, code: int) -> Response:
        digest, size, part = self.parts[upload]
        async for piece in request.stream():
            part += piece
            await asyncio.sleep(len(piece) / BYTES_PER_SECOND)
        if len(part) == size:
            assert blake3(part).hexdigest() == digest
            self.digests.add(digest)
        return Response(status_code=code, headers=_tus(part) | {"Location": f"/api/v1/uploads/{upload}"})


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        await asyncio.sleep(len(piece) / BYTES_PER_SECOND)
    return bytes(body)


def _tus(part: bytearray) -> dict[str, str]:
    return {"Tus-Resumable": "1.0.0", "Upload-Offset": str(len(part)), "Cache-Control": "no-store"}


def _refused() -> Response:
    return JSONResponse({"detail": "A name must not contain “bad”. Rename the file."}, 400)
