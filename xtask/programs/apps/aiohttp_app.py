"""The same for aiohttp's own server."""

import asyncio
import os

import app as plain
from aiohttp import web


async def wait(request):
    await request.read()
    await asyncio.sleep(int(request.match_info.get("ms", 0)) / 1000)
    return web.Response(text=plain.SLOT)


async def stream(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(int(request.match_info["number"])):
        await response.write(b"part\n")
        await asyncio.sleep(0.5)
    await response.write(b"end\n")
    return response


application = web.Application()
application.router.add_route("*", "/", wait)
application.router.add_route("*", "/ms/{ms}", wait)
application.router.add_route("*", "/stream/{number}", stream)
web.run_app(application, host="127.0.0.1", port=int(os.environ["PORT"]), print=None)
