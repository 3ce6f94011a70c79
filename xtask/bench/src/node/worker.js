// A worker of the benchmark in Node, or with --cluster all of them in Node's own cluster.
//
// A request names its work in µs. Without --burn-from-us the worker blocks as long (as the other workers do); with it,
// work from that length on burns the CPU, and shorter work is a wait that the event loop serves others in.
'use strict';

const cluster = require('node:cluster');
const http = require('node:http');
const net = require('node:net');
const { parseArgs } = require('node:util');

const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    ready: { type: 'string' },
    reuseport: { type: 'boolean', default: false },
    'burn-from-us': { type: 'string' },
    cluster: { type: 'string' },
    workers: { type: 'string', default: '1' },
  },
});

// More than any scenario sends before its requests are given up.
const BACKLOG = 4096;

if (values.cluster !== undefined && cluster.isPrimary) {
  cluster.schedulingPolicy = values.cluster === 'rr' ? cluster.SCHED_RR : cluster.SCHED_NONE;
  for (let slot = 0; slot < Number(values.workers); slot++) cluster.fork({ WORKER_ID: String(slot) });
  // One that ends early must be noticed by whoever started us.
  cluster.on('exit', () => process.exit(1));
} else {
  serve();
}

function serve() {
  const burnFrom = values['burn-from-us'] === undefined ? undefined : Number(values['burn-from-us']);
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  const server = http.createServer((request, response) => {
    const us = Number(new URL(request.url, 'http://localhost').searchParams.get('work_us') ?? 0);
    const answer = () => response.writeHead(200, { 'Content-Length': 3 }).end('ok\n');
    if (burnFrom === undefined) {
      if (us > 0) Atomics.wait(sleeper, 0, 0, us / 1000);
      answer();
    } else if (us >= burnFrom) {
      burn(us);
      answer();
    } else {
      setTimeout(answer, us / 1000);
    }
  });
  const options = { host: '127.0.0.1', port: Number(values.port), backlog: BACKLOG };
  if (values.reuseport) options.reusePort = true;
  server.listen(options, () => {
    net.connect(Number(values.ready), '127.0.0.1').end(`${process.env.WORKER_ID} ${process.pid}\n`);
  });
}

// CPU time, not time: who must share its core takes longer.
function burn(us) {
  const before = process.cpuUsage();
  for (;;) {
    const { user, system } = process.cpuUsage(before);
    if (user + system >= us) return;
  }
}
