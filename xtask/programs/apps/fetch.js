// For Bun and Deno, by their own servers: /ms/N answers after N ms, /stream/N sends N parts, one each half second.
const isBun = globalThis.Bun !== undefined;
const slot = (isBun ? process.env.WORKER_ID : Deno.env.get("WORKER_ID")) ?? "?";
const stage = isBun ? process.env.STAGE : Deno.env.get("STAGE");
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

let broken = false;
try {
  isBun ? require("node:fs").statSync(`${stage}/broken`) : Deno.statSync(`${stage}/broken`);
  broken = true;
} catch {}
if (broken) throw new Error("this code is broken");

const parts = (left) =>
  new ReadableStream({
    async pull(stream) {
      if (left-- > 0) {
        stream.enqueue(new TextEncoder().encode("part\n"));
        return wait(500);
      }
      stream.enqueue(new TextEncoder().encode("end\n"));
      stream.close();
    },
  });

async function fetch(request) {
  const [what, number] = new URL(request.url).pathname.split("/").filter(Boolean);
  await request.text();
  if (what === "stream") return new Response(parts(Number(number)));
  await wait(Number(number ?? 0));
  return new Response(slot);
}

const port = Number(isBun ? process.env.PORT : Deno.env.get("PORT"));
if (isBun) Bun.serve({ hostname: "127.0.0.1", port, fetch, idleTimeout: 30 });
else Deno.serve({ hostname: "127.0.0.1", port, onListen() {} }, fetch);
