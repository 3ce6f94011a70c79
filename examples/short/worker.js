// sudo llb run --ready-when ready -- node worker.js
const http = require('node:http')

// Whoever hears it may have ended, or there never was one: serve on.
const say = message => process.connected && process.send(message, () => {})

const server = http.createServer((request, response) => {
  const begun = performance.now()
  response.on('finish', () => say({ cmd: 'latency', us: (performance.now() - begun) * 1e3 }))
  response.end(`worker ${process.env.WORKER_ID}\n`)
})
server.listen(8080, () => say({ cmd: 'ready' }))

process.on('message', ({ cmd, id }) => {
  if (cmd === 'ping') say({ cmd: 'pong', id })
  if (cmd === 'disconnect') setTimeout(() => server.close(), 100) // what waits in the queue is accepted before
})
