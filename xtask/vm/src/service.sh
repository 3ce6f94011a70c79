#!/bin/busybox sh
# What systemd runs once it is up: tries each of llb's units as its user would, and says on the console what came of it, in
# lines that begin with @vm.
export PATH=/usr/local/bin:/usr/bin:/bin NO_COLOR=1
. /ask.sh

# Whether a command succeeds within so many seconds.
within() {
    tries=$(($1 * 5))
    shift
    until "$@" > /dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries = 0 ] && return 1
        sleep 0.2
    done
}

is_started_again() {
    [ "$(systemctl show -P NRestarts "$unit")" = 1 ] && systemctl is-active --quiet "$unit" &&
        [ "$(systemctl show -P MainPID "$unit")" != "$master" ]
}

has_no_worker() {
    ! pidof httpd
}

workers() {
    pidof httpd | tr ' ' '\n' | sort -n | tr '\n' ' '
}

# Starts a unit, crashes its llb, reloads it and stops it.
unit() {
    unit=$1
    runtime=$2
    systemctl start "$unit"
    echo "@vm $unit start $?"
    before=$(workers)
    master=$(systemctl show -P MainPID "$unit")
    echo "@vm $unit user $(stat -c %U "/proc/$master")"
    kill -9 "$master"
    within 60 is_started_again
    echo "@vm $unit restart $?"
    after=$(workers)
    # The same processes serve on.
    [ -n "$before" ] && [ "$before" = "$after" ]
    echo "@vm $unit kept $?"
    ask
    echo "@vm $unit answers $answers"
    echo "@vm $unit status $(llb status --json --runtime-dir "$runtime")"
    systemctl reload "$unit"
    echo "@vm $unit reload $?"
    renewed=$(workers)
    [ -n "$renewed" ] && [ "$renewed" != "$after" ]
    echo "@vm $unit renewed $?"
    systemctl stop "$unit"
    echo "@vm $unit stop $? $(systemctl show -P Result "$unit")"
    within 5 has_no_worker
    echo "@vm $unit ended $?"
}

unit llb.service /run/llb
unit llb-unprivileged.service /run/llb-web
poweroff -f
