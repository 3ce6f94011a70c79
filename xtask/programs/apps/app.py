"""One application for WSGI and ASGI servers: /ms/N answers after N ms, /stream/N sends N parts, one each half second."""

import asyncio
import os
import time

SLOT = os.environ.get("WORKER_ID", "?")

if os.path.exists(os.environ["STAGE"] + "/broken"):
    raise ImportError("this code is broken")


def asked(path):
    """What a path asks for, and how much of it."""
    words = path.strip("/").split("/")
    return (words[0], int(words[1])) if len(words) == 2 else ("ms", 0)


def wsgi(environ, start_response):
    what, number = asked(environ["PATH_INFO"])
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    if what == "stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return parts(number)
    time.sleep(number / 1000)
    body = SLOT.encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def parts(number):
    for _ in range(number):
        yield b"part\n"
        time.sleep(0.5)
    yield b"end\n"


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    while (await receive()).get("more_body"):
        pass
    what, number = asked(scope["path"])
    if what == "stream":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        for _ in range(number):
            await send({"type": "http.response.body", "body": b"part\n", "more_body": True})
            await asyncio.sleep(0.5)
        await send({"type": "http.response.body", "body": b"end\n"})
        return
    await asyncio.sleep(number / 1000)
    body = SLOT.encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
