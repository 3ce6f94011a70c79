// One worker of the traffic set, in Node. Usage: server.js http|h2|h2-tls PORT; the certificate is $CERTIFICATE.
// As server.py: /ms/N, /block/N; an upgrade is read and never answered.
const [kind, port] = process.argv.slice(2);
const here = `${process.env.WORKER_ID} ${process.pid}`;
const still = new Int32Array(new SharedArrayBuffer(4));

function work(path, done) {
  const [, what, ms] = path.split("/");
  if (what === "ms") return setTimeout(done, Number(ms));
  if (what === "block") Atomics.wait(still, 0, 0, Number(ms));
  done();
}

function http() {
  const server = require("node:http").createServer((request, response) => {
    request.resume().on("end", () => work(request.url, () => response.end(here)));
  });
  return server.on("upgrade", (_, socket) => {
    socket.on("error", () => {}).resume();
    socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
  });
}

function h2() {
  const http2 = require("node:http2");
  const pem = kind === "h2-tls" && require("node:fs").readFileSync(process.env.CERTIFICATE);
  const server = pem ? http2.createSecureServer({ cert: pem, key: pem }) : http2.createServer();
  server.on("session", (session) => session.on("error", () => {}));
  return server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    work(headers[":path"], () => {
      if (stream.destroyed) return;
      stream.respond({ ":status": 200 });
      stream.end(here);
    });
  });
}

(kind === "http" ? http : h2)().on("error", () => process.exit(1)).listen(Number(port), "127.0.0.1", 1024);
