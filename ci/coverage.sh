#!/usr/bin/env bash
# Line coverage of the parts that decide, by the library's own tests and the wire vectors. Prints a table and the
# uncovered lines; what stays uncovered is named with its reason in docs/testing.md.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v cargo-tarpaulin >/dev/null || cargo install cargo-tarpaulin --locked
output=${COVERAGE_OUTPUT:-target/coverage}
mkdir -p "$output"

# The LLVM engine needs no ptrace, so it also works in a container. Unoptimised, so that no line is merged away.
CARGO_PROFILE_DEV_OPT_LEVEL=0 CARGO_PROFILE_TEST_OPT_LEVEL=0 \
    cargo tarpaulin --engine llvm --lib --test ptp_vectors --skip-clean --target-dir "$output/target" \
    --include-files 'src/ptp.rs' 'src/ptp/*' 'src/ntp.rs' 'src/ntp/*' 'src/estimator.rs' 'src/estimator/*' \
    'src/estimator/leader/*' 'src/discipline.rs' 'src/discipline/*' 'src/controller.rs' 'src/controller/*' \
    --exclude-files '*/tests.rs' \
    --out Stdout --out Json --output-dir "$output" "$@"
