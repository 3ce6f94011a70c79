// PORT=8080 sudo -E llb run --ready-when ready -- node examples/node/server.js
const http = require('node:http')
const llb = require('./llb')

llb.listen(http.createServer((request, response) => response.end(`worker ${process.env.WORKER_ID}\n`)))
