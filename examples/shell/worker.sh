#!/bin/sh
# Around a server that knows nothing of llb: says when it is ready, which llb would otherwise take from its listening.
#
#     PORT=8080 sudo -E llb run --ready-when ready -- sh examples/shell/worker.sh
#
# The trap keeps the shell until the server has ended; llb's SIGTERM reaches both, another's only the shell.
python3 -m http.server "$PORT" --bind 127.0.0.1 2>/dev/null &
server=$!
trap 'kill $server 2>/dev/null; wait $server' TERM
# Warm it up here, if it needs that. Then:
if [ -n "${LLB_FD-}" ]; then echo '{"cmd":"ready"}' >&3; fi
wait $server
