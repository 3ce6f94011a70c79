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

const { monitorEventLoopDelay } = require('node:perf_hooks')

// The event loop is tried ten times between two pings. A timer of libuv's is up to 1 ms late by itself.
const TRY_MS = 10
const GRAIN_MS = 1

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
  const turns = monitorEventLoopDelay({ resolution: TRY_MS })
  turns.enable()
  process.on('message', message => {
    if (message?.cmd === 'ping') say({ cmd: 'pong', id: message.id, lag_us: lagUs(turns) })
    if (message?.cmd === 'disconnect') finish(server)
  })
  return server
}

// How late the event loop has been since the last ping: the middle one of its tries. One long pause is said by the ping that
// it holds up.
function lagUs (turns) {
  const us = turns.percentile(50) / 1e3 - (TRY_MS + GRAIN_MS) * 1e3
  turns.reset()
  return Math.max(0, Math.round(us))
}

function finish (server) {
  // For HTTP: who keeps a connection is told to ask for a new one, which somebody else gets.
  server.prependListener('request', (request, response) => response.setHeader('Connection', 'close'))
  setTimeout(() => server.close(), QUEUE_MS)
}
