# sudo llb run --ready-when ready -- python3 worker.py
import asyncio, contextlib, os, socket

async def serve(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.0 200 OK\r\n\r\nworker %s\n" % os.environ.get("WORKER_ID", "").encode())
    writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 8080)
    with contextlib.suppress(KeyError, OSError):  # there is no llb, or it has ended: serve on
        reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=int(os.environ["LLB_FD"])))
        writer.write(b'{"cmd":"ready"}\n')
        async for line in reader:
            if b'"ping"' in line:
                writer.write(line.replace(b"ping", b"pong"))
    await server.serve_forever()

asyncio.run(main())
