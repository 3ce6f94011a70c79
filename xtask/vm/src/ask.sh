# What init.sh and service.sh share: asks the server so often, and counts its answers.
ask() {
    answers=0
    asked=0
    while [ $asked -lt "$REQUESTS" ]; do
        asked=$((asked + 1))
        # Not wget's own -T: with it, Debian 12's busybox crashes.
        [ "$(timeout 5 wget -qO- http://127.0.0.1:8080/)" = hello ] && answers=$((answers + 1))
    done
}
