// Node's own server: /ms/N answers after N ms, /stream/N sends N parts, one each half second.
"use strict";
const fs = require("node:fs");
const http = require("node:http");
const { answer, SLOT } = require("./answer.js");

if (fs.existsSync(process.env.STAGE + "/broken")) throw new Error("this code is broken");

const server = http.createServer((request, response) => {
  request.on("data", () => {});
  request.on("end", () => answer(request.url, response, () => response.end(SLOT)));
});
server.listen(Number(process.env.PORT), "127.0.0.1");
// What Node's documentation tells a server to do when it is to end; without it SIGTERM ends the process at once.
if (process.argv[2] === "graceful") {
  process.on("SIGTERM", () => server.close(() => process.exit(0)));
}
