#!/bin/busybox sh
# The first process of the virtual machine: tries llb as its user would, runs the tests, and says on the console what came
# of it, in lines that begin with @vm. Everything else on the console is what llb and the tests themselves say.
/bin/busybox --install -s /bin
export PATH=/usr/local/bin:/usr/bin:/bin NO_COLOR=1
. /ask.sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# As an init system does.
echo "+cpu +memory" > /sys/fs/cgroup/cgroup.subtree_control
ip link set lo up

trial() {
    llb doctor
    code=$?
    echo "@vm doctor $code"
    if [ $code != 0 ]; then
        # Again, for what the verifier says.
        llb doctor --log debug
        poweroff -f
    fi

    # A program that knows nothing of llb, and that several can run of only because llb shares the port.
    mkdir /tmp/www
    echo hello > /tmp/www/index.html
    llb run -n "$WORKERS" -- httpd -f -p 8080 -h /tmp/www &
    master=$!
    tries=0
    until llb status --json 2> /dev/null | grep -q '"up":true' || [ $tries = 100 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done

    ask
    echo "@vm answers $answers"
    echo "@vm status $(llb status --json)"
    kill -TERM $master
    wait $master
    echo "@vm run $?"
}

# Runs the tests of one module, but for those that are told, if they are wanted, and says how many there are.
suite() {
    name=$1
    shift
    case "$wanted" in
        *" $name "*) ;;
        *) return ;;
    esac
    tests=$(echo "$listed" | sed -n "s/^\($name::.*\): test$/\1/p")
    echo "@vm tests $name $(echo "$tests" | wc -w)"
    echo "     Running $name ($program)"
    "$program" --exact $tests "$@"
    echo "@vm suite $name $?"
}

tests() {
    export LLB_COMPILED_FIXTURES=$COMPILED
    # Looking takes milliseconds here, whether there is something to see or not.
    export LLB_TEST_PAUSE_MS=50
    cd $HOME_OF_TESTS
    program=$TESTS
    listed=$("$program" --list --format terse)
$SUITES
}

# systemd takes this process's place, and runs service.sh.
service() {
    mkdir -p /www
    echo hello > /www/index.html
    exec /lib/systemd/systemd
}

# The kernel passes on what is to be done, and which tests are wanted.
todo=$1
shift
wanted=" $* "
echo "@vm booted"
$todo
poweroff -f
