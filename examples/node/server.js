// PORT=8080 sudo -E llb run -n 4 --ready-when ready --drain-timeout 1h --respawn 1s --backoff 30s -- node server.js
const http = require('node:http')
const llb = require('./llb')

const server = http.createServer((request, response) => response.end(`worker ${process.env.WORKER_ID}\n`))
llb.listen(server)
