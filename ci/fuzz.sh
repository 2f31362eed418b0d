#!/usr/bin/env bash
# Runs every fuzz target for SECONDS (60 if not given). Needs nightly Rust, cargo-fuzz and a C++ compiler.
# What it finds goes to fuzz/artifacts; run `cargo +nightly fuzz run TARGET FILE` to see it again.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
if ! [[ $seconds =~ ^[1-9][0-9]*$ ]]; then
    echo "usage: ci/fuzz.sh [SECONDS]; '$seconds' is no number of seconds" >&2
    exit 64
fi

targets=$(cargo +nightly fuzz list)
# All at first, so that no target's time goes into compiling.
cargo +nightly fuzz build
for target in $targets; do
    printf '\n== fuzz: %s for %s s\n' "$target" "$seconds"
    # 16 KiB hold 50 packets, and long inputs are worth as much as short ones. An input that takes 10 s, or 512 MiB, is a finding.
    cargo +nightly fuzz run "$target" -- \
        -max_total_time="$seconds" -max_len=16384 -len_control=0 -timeout=10 -rss_limit_mb=512 -print_final_stats=1 2>&1 |
        grep -vE '^(#|"|INFO|\s*NEW_FUNC|stat::(new_units|slowest))' | tail -n 40
done
printf '\nfuzz: all targets passed\n'
