#!/usr/bin/env bash
# Builds the program for Windows and tests it under Wine: all tests that are not of Linux alone, then the program
# against a leader of this computer (root, iproute2).
#
#   WIN_TOOLCHAIN  the toolchain (windows-cross, as ci/windows-toolchain.sh makes it)
set -euo pipefail
cd "$(dirname "$0")/.."
. ci/cargo-windows.sh

started=$SECONDS
step() { printf -- '-- windows: %s (at %d s)\n' "$1" "$((SECONDS - started))"; }

# One server for all: each start of another one takes a second. One that is about to end is waited for: it has no
# services any more. One that goes on is somebody else's.
timeout 20 wineserver-stable -w || true
own_server=
if wineserver-stable -p 2>/dev/null; then
    own_server=yes
    trap 'wineserver-stable -k || true' EXIT
fi

# Now and then Wine starts without its services, and nothing that asks for a network card gets an answer then.
services_run() {
    timeout 60 ci/wine-run net start 2>/dev/null | grep 'Event Log' >/dev/null &&
        timeout 60 ci/wine-run ipconfig 2>/dev/null | grep adapter >/dev/null
}
start_services() {
    local try
    for try in 1 2 3; do
        if services_run; then return 0; fi
        echo "Wine's services do not run (attempt $try); \`net start\` lists:"
        timeout 60 ci/wine-run net start || true
        [ -n "$own_server" ] || { echo "another program's wineserver runs: end it with \`wineserver-stable -k\`"; return 1; }
        wineserver-stable -k || true
        timeout 60 wineserver-stable -w || true
        # A prefix that stays like that is made anew.
        if [ "$try" = 2 ]; then
            rm -f "$WINEPREFIX/.stamp"
            ci/windows-toolchain.sh
            timeout 60 wineserver-stable -w || true
        fi
        wineserver-stable -p
    done
    services_run
}

target=${CARGO_TARGET_DIR:-target}

step "clippy"
"${win_cargo[@]}" clippy --target "$WIN_TARGET" --all-targets --workspace -- -D warnings

step "Wine's services"
start_services

step "tests under Wine"
"${win_cargo[@]}" test --target "$WIN_TARGET"

# Without the optimisation at link time, which takes minutes; ci/windows-installer.sh alone makes what is given away.
step "release"
CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    "${win_cargo[@]}" build --release --target "$WIN_TARGET"
exe=$target/$WIN_TARGET/release/dantetimesync.exe
ls -l "$exe" "${exe%.exe}-watch.exe"

step "the commands, optimised"
ci/wine-run "$exe" bench --scenario S5 --seeds 1 --allow-known
ci/wine-run "$exe" replay tests/data/s1-60s.pcap

# Wine stamps no packets, and whoever stamps by itself hears every other program in its stamps: 40 to 60 s on an idle
# computer; now and then the bound of the rate stays at 0.7 ppm for minutes, above the 0.5 of a lock: two more tries.
step "a demo, alone, until it locks"
demo() { ci/wine-run "$exe" demo --seconds 240 --until-locked; }
demo || demo || demo

step "against a leader of this computer"
DANTETIMESYNC_EXE=$(realpath "$exe") "${own_cargo[@]}" test --test wine -- --nocapture

step "the installer"
EXE=$exe ci/windows-installer.sh --test

step "done"
