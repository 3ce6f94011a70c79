// A worker's side of llb, for Node: copy this file, there is nothing to install.
//
//   const llb = require('./llb')
//   llb.listen(server)          // instead of server.listen(process.env.PORT)
//   llb.listen(server, 8080)    // instead of server.listen(8080)
//
// It listens, says that it is ready, answers pings from the event loop with how late that is, and closes the server when llb
// says so. Without llb it listens, and that is all. The channel is Node's own, so a worker may say more itself:
//
//   process.send({ cmd: 'latency', us: 1234 })   // a request took so long
//   process.send({ cmd: 'disconnect' })          // replace me
'use strict'

// The event loop is tried ten times between two pings. A timer of Node's is up to 2 ms late by itself.
const TRY_MS = 10
const GRAIN_MS = 2
const KEPT = 16

// When llb says so it has left us out already: what still waits in the queue is accepted before the listener goes. SIGTERM
// comes a second later at the soonest.
const QUEUE_MS = 100

exports.listen = function listen (server, port = process.env.PORT) {
  if (port === undefined) throw new Error('llb.listen: give a port, or set PORT')
  server.listen(Number(port))
  if (!process.send) return server

  // Whoever hears it may have ended; a worker serves on.
  const say = message => process.connected && process.send(message, () => {})
  server.once('listening', () => say({ cmd: 'ready' }))
  const lagMs = watchLag()
  process.on('message', message => {
    if (message?.cmd === 'ping') say({ cmd: 'pong', id: message.id, lag_us: Math.round(lagMs() * 1e3) })
    if (message?.cmd === 'disconnect') finish(server)
  })
  return server
}

// Returns a function that says how late the event loop has been since it was last asked: the middle one of its tries. One
// long pause is said by the ping that it holds up.
function watchLag () {
  let lags = []
  let due = performance.now() + TRY_MS
  setInterval(() => {
    const now = performance.now()
    lags = [...lags, Math.max(0, now - due - GRAIN_MS)].slice(-KEPT)
    due = now + TRY_MS
  }, TRY_MS).unref()
  return () => {
    const sorted = lags.sort((a, b) => a - b)
    lags = []
    return sorted[sorted.length >> 1] ?? 0
  }
}

function finish (server) {
  // For HTTP: who keeps a connection is told to ask for a new one, which somebody else gets.
  server.prependListener('request', (request, response) => response.setHeader('Connection', 'close'))
  setTimeout(() => server.close(), QUEUE_MS)
}
