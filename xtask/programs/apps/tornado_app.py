"""The same for Tornado."""

import asyncio
import os

import app as plain
from tornado.web import Application, RequestHandler


class Wait(RequestHandler):
    async def get(self, ms="0"):
        await asyncio.sleep(int(ms) / 1000)
        self.write(plain.SLOT)

    post = get


class Stream(RequestHandler):
    async def get(self, number):
        for _ in range(int(number)):
            self.write("part\n")
            await self.flush()
            await asyncio.sleep(0.5)
        self.write("end\n")


async def main():
    application = Application([("/", Wait), (r"/ms/(\d+)", Wait), (r"/stream/(\d+)", Stream)])
    application.listen(int(os.environ["PORT"]), "127.0.0.1")
    await asyncio.Event().wait()


asyncio.run(main())
