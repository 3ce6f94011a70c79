"""A mail server that takes everything: it speaks first."""

import asyncio
import os

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink


async def main():
    Controller(Sink(), hostname="127.0.0.1", port=int(os.environ["PORT"])).start()
    await asyncio.Event().wait()


asyncio.run(main())
