"use strict";

exports.SLOT = process.env.WORKER_ID ?? "?";

// Does what a path asks for; `done` answers when a wait is over.
exports.answer = (url, response, done) => {
  const [what, number] = url.split("/").filter(Boolean);
  if (what !== "stream") return setTimeout(done, Number(number ?? 0));
  let left = Number(number);
  const part = () => {
    if (left-- === 0) return response.end("end\n");
    response.write("part\n");
    setTimeout(part, 500);
  };
  part();
};
