"""One worker of the traffic set. Usage: server.py KIND PORT [--slow N] [--bad MS] [--tls [--no-tickets]]

KIND is loop (asyncio), serial (one connection after the other, each to its end), threads (eight), processes (two), sink (a line
is work and is not answered) or mail (the server speaks first). Of HTTP, /ms/N answers after N ms and serves others meanwhile,
/block/N stands still for N ms, and /burn/N computes for N ms. With --slow worker 0 takes N times as long, with --bad it answers
500 after MS ms. `app` is the same for ASGI servers, and `wsgi` for WSGI ones.
"""

import argparse
import asyncio
import os
import socket
import ssl
import threading
import time

SLOT = os.environ.get("WORKER_ID", "0")
HERE = f"{SLOT} {os.getpid()}"

# What a line of a one-way client costs, s.
LINE_S = 0.015


def asked(path, options):
    """The kind of work, how long it takes in s, and the status."""
    what, _, ms = path.strip("/").partition("/")
    seconds = int(ms or 0) / 1000
    if SLOT != "0" or not options:
        return what, seconds, "200 OK"
    if options.bad:
        return what, options.bad / 1000, "500 Bad"
    return what, seconds * options.slow, "200 OK"


def stand_still(what, seconds):
    if what != "burn":
        return time.sleep(seconds)
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def answer(status, closes):
    closing = "Connection: close\r\n" if closes else ""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(HERE)}\r\n{closing}\r\n{HERE}".encode()


def parse(head):
    """The path, the length of the body, and whether the connection ends."""
    lines = head.decode().split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    return lines[0].split()[1], int(fields.get("content-length", 0)), fields.get("connection")


async def http(reader, writer, options):
    while True:
        path, length, connection = parse(await reader.readuntil(b"\r\n\r\n"))
        if connection == "upgrade":
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            while await reader.read(4096):
                pass
            return
        await reader.readexactly(length)
        what, seconds, status = asked(path, options)
        await asyncio.sleep(seconds) if what == "ms" else stand_still(what, seconds)
        writer.write(answer(status, connection == "close"))
        await writer.drain()
        if connection == "close":
            return


async def sink(reader, writer, options):
    while line := await reader.readline():
        if line.startswith(b"GET "):
            _, seconds, status = asked(line.split()[1].decode(), options)
            stand_still("block", seconds)
            writer.write(answer(status, True))
            return await writer.drain()
        stand_still("block", LINE_S)


async def mail(reader, writer, options):
    while True:
        writer.write(f"220 {HERE}\r\n".encode())
        line = await reader.readline()
        if not line:
            return
        stand_still("block", int(line) / 1000)


async def events(serve, options, context):
    async def talk(reader, writer):
        try:
            await serve(reader, writer, options)
        except (OSError, asyncio.IncompleteReadError, ValueError):
            pass
        writer.close()

    await asyncio.start_server(talk, "127.0.0.1", options.port, ssl=context, backlog=1024)
    await asyncio.Event().wait()


def blocking(listener, options, context):
    while True:
        connection, _ = listener.accept()
        try:
            connection.settimeout(30)
            connection = context.wrap_socket(connection, server_side=True) if context else connection
            with connection, connection.makefile("rwb") as stream:
                while request := stream.readline():
                    head = request
                    while (line := stream.readline()).strip():
                        head += line
                    path, length, keeps = parse(head)
                    stream.read(length)
                    what, seconds, status = asked(path, options)
                    stand_still(what, seconds)
                    stream.write(answer(status, keeps == "close"))
                    stream.flush()
                    if keeps == "close":
                        break
        except (OSError, ValueError):
            pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind")
    parser.add_argument("port", type=int)
    parser.add_argument("--slow", type=float, default=1)
    parser.add_argument("--bad", type=float)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--no-tickets", action="store_true")
    options = parser.parse_args()
    context = None
    if options.tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(os.environ["CERTIFICATE"])
        context.num_tickets = 0 if options.no_tickets else 2
    if options.kind in ("loop", "sink", "mail"):
        return asyncio.run(events({"loop": http, "sink": sink, "mail": mail}[options.kind], options, context))
    listener = socket.create_server(("127.0.0.1", options.port), backlog=1024)
    if options.kind == "processes":
        os.fork()
    for _ in range(7 if options.kind == "threads" else 0):
        threading.Thread(target=blocking, args=(listener, options, context), daemon=True).start()
    blocking(listener, options, context)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    while (await receive()).get("more_body"):
        pass
    what, seconds, _ = asked(scope["path"], None)
    await asyncio.sleep(seconds) if what == "ms" else stand_still(what, seconds)
    headers = [(b"content-length", str(len(HERE)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": HERE.encode()})


def wsgi(environ, start_response):
    stand_still(*asked(environ["PATH_INFO"], None)[:2])
    start_response("200 OK", [("Content-Length", str(len(HERE)))])
    return [HERE.encode()]


if __name__ == "__main__":
    main()
