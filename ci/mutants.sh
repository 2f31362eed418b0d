#!/usr/bin/env bash
# Mutation test of the parts that decide: every surviving mutant is listed and judged in docs/testing.md.
# Usage: ci/mutants.sh [FILE ...]
set -euo pipefail
cd "$(dirname "$0")/.."

files=("$@")
if [ "${#files[@]}" -eq 0 ]; then
    files=(src/discipline.rs src/discipline/utc_policy.rs src/ptp/election.rs)
fi
command -v cargo-mutants >/dev/null || cargo install cargo-mutants --locked

arguments=()
for file in "${files[@]}"; do
    arguments+=(--file "$file")
done
output=${MUTANTS_OUTPUT:-target}
mkdir -p "$output"

# Unoptimised and without debug information a mutant is built in seconds. The controller's tests would take half
# a minute for each: they judge the survivors, by hand.
export CARGO_PROFILE_DEV_OPT_LEVEL=0 CARGO_PROFILE_DEV_DEBUG=0
tests=(discipline:: election:: follower::)

echo "== mutants of ${files[*]}"
# Exit code 2 means that mutants survived, 3 that some hung: they are printed, and judged in docs/testing.md.
status=0
cargo mutants --output "$output" --jobs "${JOBS:-1}" "${arguments[@]}" -- -- "${tests[@]}" || status=$?
echo "== survivors"
cat "$output/mutants.out/missed.txt" "$output/mutants.out/timeout.txt"
case $status in
    0 | 2 | 3) ;;
    *) exit "$status" ;;
esac
