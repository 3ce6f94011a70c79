"""The same for Sanic."""

import asyncio
import os

import app as plain
from sanic import Sanic
from sanic.response import text

application = Sanic("programs", configure_logging=False)


@application.route("/", methods=["GET", "POST"])
@application.route("/ms/<ms:int>", methods=["GET", "POST"], name="ms")
async def wait(request, ms=0):
    await asyncio.sleep(ms / 1000)
    return text(plain.SLOT)


@application.get("/stream/<number:int>")
async def stream(request, number):
    response = await request.respond(content_type="text/plain")
    for _ in range(number):
        await response.send("part\n")
        await asyncio.sleep(0.5)
    await response.send("end\n")


application.run("127.0.0.1", int(os.environ["PORT"]), single_process=True, motd=False, access_log=False)
