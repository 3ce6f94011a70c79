"""A worker that serves one request at a time, and reports how long each took.

    PORT=8080 sudo -E llb run --ready-when ready -- python3 examples/python/worker.py

A thread answers pings, so a pong says that the process runs. With an event loop, answer from the loop: asyncio_worker.py.
"""

import contextlib, json, os, socket, threading, time

channel = socket.socket(fileno=int(os.environ["LLB_FD"])) if "LLB_FD" in os.environ else None


def say(**message):
    with contextlib.suppress(OSError):  # llb does not read, or has died: serve on
        if channel:
            channel.send(json.dumps(message).encode() + b"\n", socket.MSG_DONTWAIT)


def answer_pings():
    with contextlib.suppress(OSError):  # llb has died, and had not read all that we said
        for message in map(json.loads, channel.makefile()):
            if message["cmd"] == "ping":
                say(cmd="pong", id=message["id"])


listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=1024)
if channel:
    threading.Thread(target=answer_pings, daemon=True).start()
say(cmd="ready")
while True:
    connection, _ = listener.accept()
    begun = time.monotonic()
    connection.recv(65536)
    body = f"worker {os.environ.get('WORKER_ID')}\n"
    connection.sendall(f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    connection.close()
    say(cmd="latency", us=(time.monotonic() - begun) * 1e6)
