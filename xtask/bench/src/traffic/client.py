"""The clients of one fleet of the traffic set. Usage: client.py JSON; the fields are those of `Load` in cell.rs.

First come the connections that are held, then requests, each due at a moment drawn from the seed, whatever became of those before
it. Writes {"answers": [[ms, slot], ...], "held": [slot, ...]} to its standard output; a request without a good answer has
no ms, and one without any no slot either. A latency counts from the moment the request was due.
"""

import asyncio
import json
import os
import random
import signal
import ssl
import sys

LOAD = json.loads(sys.argv[1])
random.seed(LOAD["seed"])
HOST = "127.0.0.1"

# After this a request is given up, s.
GIVEN_UP = 3

# Between two bytes of a slow upload, and two messages of a one-way client, s.
EVERY = 1

TLS = ssl.create_default_context()
TLS.check_hostname = False
TLS.verify_mode = ssl.CERT_NONE

# The same, and offers HTTP/2.
H2_TLS = ssl.create_default_context()
H2_TLS.check_hostname = False
H2_TLS.verify_mode = ssl.CERT_NONE
H2_TLS.set_alpn_protocols(["h2"])


class Http:
    """HTTP/1.1, over TLS if asked for."""

    def __init__(self, tls=None):
        self.tls = tls

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection(HOST, LOAD["port"], ssl=self.tls)
        return self

    async def ask(self, path, last):
        closes = "Connection: close\r\n" if last else ""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{closes}\r\n".encode())
        status = await self.reader.readline()
        length, chunked = 0, False
        while (line := (await self.reader.readline()).lower()).strip():
            if line.startswith(b"content-length:"):
                length = int(line[15:])
            chunked |= line.startswith(b"transfer-encoding: chunked")
        if chunked:
            length = int(await self.reader.readline(), 16)
        body = await self.reader.readexactly(length)
        if chunked:
            await self.reader.readuntil(b"0\r\n\r\n")
        return b" 200 " in status, body.split()


class H2(Http):
    """HTTP/2, in the clear or not, one stream after the other."""

    async def open(self):
        await super().open()
        self.writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.frame(4, 0, 0, b""))
        self.stream = -1
        return self

    @staticmethod
    def frame(kind, flags, stream, payload):
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    async def ask(self, path, last):
        self.stream += 2
        # GET, http, the path and the authority, of HPACK's static table.
        head = b"\x82\x86\x04" + bytes([len(path)]) + path.encode() + b"\x01\x09localhost"
        self.writer.write(self.frame(1, 5, self.stream, head))
        body = b""
        while True:
            head = await self.reader.readexactly(9)
            payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
            if head[3] == 4 and not head[4] & 1:
                self.writer.write(self.frame(4, 1, 0, b""))
            if head[3] == 0:
                body += payload
            if head[3] in (0, 1) and head[4] & 1:
                return True, body.split()


class Mail(Http):
    """A server that speaks first, as its clients wait for, and then answers each line, whose number says how long it is to stand still."""

    async def ask(self, path, last):
        await self.reader.readline()
        self.writer.write(b"%s\r\n" % path.encode())
        answer = await self.reader.readline()
        return answer.startswith(b"220 "), answer.split()[1:]


class Smtp(Http):
    """A mail server that does not say who it is."""

    async def ask(self, path, last):
        greeting = await self.reader.readline()
        self.writer.write(b"NOOP\r\n")
        return greeting.startswith(b"220 ") and (await self.reader.readline()).startswith(b"250 "), []


def new():
    kinds = {"tls": lambda: Http(TLS), "h2": H2, "h2-tls": lambda: H2(H2_TLS), "mail": Mail, "smtp": Smtp}
    return kinds.get(LOAD["ask"], Http)()


async def hold(what):
    """Opens a connection that stays, and returns it with the slot that answered there, if one has."""
    client, slot = await new().open(), None
    if what == "poll":
        client.task = asyncio.create_task(client.ask("/ms/60000", False))
    elif what == "half":
        client.writer.write(b"GET / HTTP/1.1\r\nX: ")
    elif what == "upload":
        client.writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
        client.task = asyncio.create_task(repeat(client, b"x"))
    elif what == "lines":
        client.task = asyncio.create_task(repeat(client, b"a line\n"))
    elif what == "socket":
        upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        client.writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + upgrade + b"\r\n")
        await client.reader.readuntil(b"\r\n\r\n")
        client.task = asyncio.create_task(repeat(client, b"\x81\x82\0\0\0\0hi"))
    elif what == "kept":
        _, words = await client.ask("/ms/0", False)
        slot = int(words[0])
    return client, slot


async def repeat(client, message):
    try:
        await asyncio.sleep(EVERY * random.random())
        while True:
            client.writer.write(message)
            await asyncio.sleep(EVERY)
    except OSError:
        pass


def drawn():
    """Each request: when it is due, what it asks, whether it counts, and a number that says which held connection is its."""
    draw = random.Random(LOAD["seed"])
    due, paths = -LOAD["warm"], LOAD["paths"]
    while True:
        due += draw.expovariate(LOAD["rate"])
        if due >= LOAD["seconds"]:
            return
        path, _, counts = draw.choices(paths, [weight for _, weight, _ in paths])[0]
        yield due, path, counts and due >= 0, draw.randrange(1000)


async def request(path, due, kept):
    """Its latency in ms and its slot, each None if there is none."""
    loop, client = asyncio.get_running_loop(), None
    slot = good = None
    try:
        async with asyncio.timeout_at(due + GIVEN_UP):
            if kept:
                client, lock = kept
                async with lock:
                    good, words = await client.ask(path, False)
            else:
                client = await new().open()
                good, words = await client.ask(path, True)
        slot = int(words[0])
        PIDS[slot] = int(words[1])
    except (OSError, asyncio.IncompleteReadError, TimeoutError, IndexError, ValueError):
        pass
    latency = (loop.time() - due) * 1000
    if client and not kept and hasattr(client, "writer"):
        client.writer.close()
    return [latency if good else None, slot]


PIDS = {}


async def stop(start):
    """Stops worker 1 in the middle of the time."""
    await asyncio.sleep(start + LOAD["seconds"] / 4 - asyncio.get_running_loop().time())
    os.kill(PIDS[1], signal.SIGSTOP)
    await asyncio.sleep(LOAD["seconds"] / 2)
    os.kill(PIDS[1], signal.SIGCONT)


async def main():
    loop, held = asyncio.get_running_loop(), []
    for _ in range(LOAD["hold"]):
        held.append(await hold(LOAD["held"]))
        await asyncio.sleep(LOAD["gap"])
    over = [(client, asyncio.Lock()) for client, _ in held] if LOAD["over_held"] else None
    start = loop.time() + LOAD["warm"]
    stopping = asyncio.create_task(stop(start)) if LOAD["stop"] else None
    tasks = []
    for due, path, counts, number in drawn():
        await asyncio.sleep(start + due - loop.time())
        kept = over[number % len(over)] if over else None
        tasks.append((counts, asyncio.create_task(request(path, start + due, kept))))
    answers = [(counts, await task) for counts, task in tasks]
    if stopping:
        await stopping
    slots = [slot for _, slot in held if slot is not None]
    json.dump({"answers": [answer for counts, answer in answers if counts], "held": slots}, sys.stdout)
    sys.stdout.flush()
    os._exit(0)


asyncio.run(main())
