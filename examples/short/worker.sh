#!/bin/sh
# sudo llb run --ready-when ready -- sh worker.sh
python3 -m http.server 8080 --bind 127.0.0.1 2>/dev/null &
server=$!
trap 'kill $server 2>/dev/null; wait $server' TERM
if [ -n "${LLB_FD-}" ]; then
    # Beside the shell, which so does not end with llb. Each ping goes back as a pong.
    { echo '{"cmd":"ready"}'; sed -un 's/"ping"/"pong"/p'; } <&3 >&3 &
fi
wait $server
