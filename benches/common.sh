# SPDX-License-Identifier: MIT
#
# What ./demo needs of the benchmarks: the release build, Go's, an echo server under load. Sourced by bash, with $root
# set to the top of the tree. (./bench has its own: suite/build.py, suite/runs.py.)

build=${BUILD_DIR:-$root/build/release}
programs=$build/bench
server_pid=

has() { command -v "$1" >/dev/null 2>&1; }

# The cores this process may use, as numbers in a list.
allowed_cores() {
    awk '/^Cpus_allowed_list:/ {
        n = split($2, parts, ",")
        for (i = 1; i <= n; i++) {
            m = split(parts[i], ends, "-")
            for (core = ends[1]; core <= ends[m]; core++) print core
        }
    }' /proc/self/status
}

mapfile -t cores < <(allowed_cores)

# on_core N COMMAND...: on the Nth allowed core, where there are two and taskset is there. Replaces
# the shell it is called in.
on_core() {
    local core=$1
    shift
    if [ "${#cores[@]}" -ge 2 ] && has taskset; then
        exec taskset -c "${cores[$core]}" "$@"
    fi
    exec "$@"
}

# build_release TARGET...: configures if that was not done before, then builds.
build_release() {
    local log=$build/bench-build.log options=(-DCMAKE_BUILD_TYPE=Release -DCOIR_BUILD_BENCH=ON)
    if [ ! -f "$build/CMakeCache.txt" ]; then
        has ninja && options+=(-G Ninja)
        pkg-config --exists check 2>/dev/null || options+=(-DCOIR_BUILD_TESTS=OFF)
    fi
    mkdir -p "$build"
    echo "building into ${build#"$root"/} ..."
    if ! { cmake -S "$root" -B "$build" "${options[@]}" &&
        cmake --build "$build" --parallel --target "$@"; } >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        echo "the build failed; all of it is in $log" >&2
        return 1
    fi
}

# build_go PROGRAM...: 0 if $build/peers/go/PROGRAM are there afterwards.
build_go() {
    local name log=$build/peers/go.log
    mkdir -p "$build/peers/go"
    if ! has go; then
        echo "Go is left out: not installed (apt-get install golang-go, or https://go.dev/dl)"
        return 1
    fi
    for name in "$@"; do
        if ! (cd "$root/benches/peers/go" && GOTOOLCHAIN=local GOFLAGS='' GOWORK=off \
            go build -o "$build/peers/go/$name" "./$name") >"$log" 2>&1; then
            echo "Go is left out: it could not build (see $log)"
            return 1
        fi
    done
}

# start_server COMMAND...: on the first core. Sets $server_pid and $address; the rest of its output
# stays readable at $server_fd.
start_server() {
    local line=
    exec {server_fd}< <(on_core 0 "$@" </dev/null 2>&1)
    server_pid=$!
    IFS= read -r -t 10 line <&"$server_fd"
    address=${line#listening on }
    if [ "$address" = "$line" ]; then
        echo "no server: ${line:-it said nothing}" >&2
        kill_server
        return 1
    fi
}

# Asks the server to stop, and sets $server_output to what it said. Fails if it failed or hung.
stop_server() {
    local pid=$server_pid status=0
    kill -TERM "$pid" 2>/dev/null
    server_output=$(timeout 10 cat <&"$server_fd") || status=1
    [ $status = 0 ] || kill -KILL "$pid" 2>/dev/null
    exec {server_fd}<&-
    server_pid=
    wait "$pid" && [ $status = 0 ]
}

# For traps and mistakes: no server is left behind.
kill_server() {
    [ -n "$server_pid" ] && kill -KILL "$server_pid" 2>/dev/null
    server_pid=
}

# Resident bytes and page tables of a process together.
memory_of() {
    awk '/^VmRSS:|^VmPTE:/ { kib += $2 } END { print kib * 1024 }' "/proc/$1/status" 2>/dev/null || echo 0
}
