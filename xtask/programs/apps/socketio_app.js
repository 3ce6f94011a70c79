"use strict";
const http = require("node:http");
const { Server } = require("socket.io");
const { answer, SLOT } = require("./answer.js");

if (require("node:fs").existsSync(process.env.STAGE + "/broken")) throw new Error("this code is broken");

const server = http.createServer((request, response) => {
  request.on("data", () => {});
  request.on("end", () => answer(request.url, response, () => response.end(SLOT)));
});
// Ends what is open to it as its documentation has it: io.close() closes the HTTP server as well.
const io = new Server(server);
server.listen(Number(process.env.PORT), "127.0.0.1");
process.on("SIGTERM", () => io.close(() => process.exit(0)));
