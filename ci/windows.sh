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

# One server for all: each start of another one takes a second. One that runs already is somebody else's.
if wineserver-stable -p 2>/dev/null; then
    trap 'wineserver-stable -k || true' EXIT
fi

# Without rustup the toolchain is used where it lies; it builds for this system too.
if command -v rustup >/dev/null; then
    cargo=(cargo "+$WIN_TOOLCHAIN")
    own_cargo=(cargo)
else
    cargo=(env "PATH=$WIN_HOME/toolchain/bin:$PATH" "LD_LIBRARY_PATH=$WIN_HOME/toolchain/lib" cargo)
    own_cargo=("${cargo[@]}")
fi
target=${CARGO_TARGET_DIR:-target}

step "clippy"
"${cargo[@]}" clippy --target "$WIN_TARGET" --all-targets --workspace -- -D warnings

step "tests under Wine"
"${cargo[@]}" test --target "$WIN_TARGET"

# Without the optimisation at link time, which takes minutes; ci/windows-installer.sh alone makes what is given away.
step "release"
CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    "${cargo[@]}" build --release --target "$WIN_TARGET"
exe=$target/$WIN_TARGET/release/dantetimesync.exe
ls -l "$exe" "${exe%.exe}-watch.exe"

step "the commands, optimised"
ci/wine-run "$exe" bench --scenario S5 --seeds 1 --allow-known
ci/wine-run "$exe" replay tests/data/s1-60s.pcap

# Whoever stamps by itself hears every other program in its stamps: where they scatter by a millisecond no lock comes,
# and none is claimed. Then the leader's rate, +40 ppm, must have been learned all the same.
step "a demo, alone"
if ! ci/wine-run "$exe" demo --seconds 120 --until-locked | tee "$target/demo.txt"; then
    learned=$(grep -o '[+-][0-9.]* ± [0-9.]* ppm' "$target/demo.txt" | tail -n 1 | cut -d ' ' -f 1)
    awk -v learned="${learned:-0}" 'BEGIN { exit !(learned > 37 && learned < 43) }' ||
        { echo "the demo learned ${learned:-no rate} ppm of +40"; exit 1; }
    echo "no lock on this computer: its stamps scatter too much; the rate was learned: $learned ppm"
fi

step "against a leader of this computer"
DANTETIMESYNC_EXE=$(realpath "$exe") "${own_cargo[@]}" test --test wine -- --nocapture

step "the installer"
EXE=$exe ci/windows-installer.sh --test

step "done"
