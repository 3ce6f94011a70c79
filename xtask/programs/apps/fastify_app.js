"use strict";
const fastify = require("fastify")();
const { answer, SLOT } = require("./answer.js");

if (require("node:fs").existsSync(process.env.STAGE + "/broken")) throw new Error("this code is broken");

fastify.all("/*", (request, reply) => {
  reply.hijack();
  answer(request.url, reply.raw, () => reply.raw.end(SLOT));
});
fastify.listen({ port: Number(process.env.PORT), host: "127.0.0.1" });
// As Fastify's documentation has it.
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => fastify.close().then(() => process.exit(0)));
}
