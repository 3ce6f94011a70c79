"""An asyncio worker: its event loop answers pings, with how late it is, and it finishes when llb says so.

    PORT=8080 sudo -E llb run --ready-when ready -- python3 examples/python/asyncio_worker.py
"""

import asyncio, contextlib, json, os, socket, statistics

# The loop is tried ten times between two pings. A timer of asyncio's is up to 2 ms late by itself, s.
TRY, GRAIN, KEPT = 0.010, 0.002, 16


async def watch(lags):
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + TRY
        await asyncio.sleep(TRY)
        lags[:] = [*lags, max(0, clock() - due - GRAIN)][-KEPT:]


async def talk(server, lags):
    """Says that the server is ready, and does what llb says until that is all over."""
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=int(os.environ["LLB_FD"])))
    writer.write(b'{"cmd":"ready"}\n')
    async for line in reader:
        message = json.loads(line)
        if message["cmd"] == "ping":
            pong = {"cmd": "pong", "id": message["id"], "lag_us": statistics.median(lags or [0]) * 1e6}
            writer.write(json.dumps(pong).encode() + b"\n")
            lags.clear()
        elif message["cmd"] == "disconnect":
            # llb has left us out already: what still waits in the queue is accepted before the listener goes.
            asyncio.get_running_loop().call_later(0.1, server.close)


async def serve(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    body = f"worker {os.environ.get('WORKER_ID')}\n"
    writer.write(f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(os.environ["PORT"]), backlog=1024)
    lags = []
    if "LLB_FD" in os.environ:
        with contextlib.suppress(OSError):  # llb has died, and had not read all that we said
            await asyncio.gather(watch(lags), talk(server, lags))
    await server.serve_forever()


asyncio.run(main())
