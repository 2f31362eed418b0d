#!/usr/bin/env bash
# What the service costs a computer: memory, processor time per day, system calls per packet, instructions per
# packet, and what floods of foreign packets cost.
#
# The release daemon runs with --dry-run (it steers a clock made of numbers, so this computer's clock is not
# touched) and with NTP, in a network namespace of its own, against examples/leader in another one, for
# SECONDS (60 if not given): once as it is, once under strace, because strace costs more than the daemon.
# The instructions are counted by valgrind in tests/hot_path.rs, inside the controller: system calls are not in
# them. The floods are the kernel test of that name, which moves this computer's clock and puts it back;
# DANTETIMESYNC_KERNEL_TESTS=0 leaves it out. Needs root, iproute2 and strace; valgrind if there is one.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
if ! [[ $seconds =~ ^[1-9][0-9]*$ ]] || ((seconds < 20)); then
    echo "usage: ci/cost.sh [SECONDS]; '$seconds' is out of range: 20 or more" >&2
    exit 64
fi
for tool in ip strace awk; do
    command -v "$tool" >/dev/null || { echo "ci/cost.sh: $tool is missing" >&2; exit 69; }
done
[ "$(id -u)" = 0 ] || { echo "ci/cost.sh: network namespaces need root" >&2; exit 77; }

cargo build --release --quiet --bin dantetimesync --example leader
target=${CARGO_TARGET_DIR:-target}
daemon=$(realpath "$target/release/dantetimesync")
leader=$(realpath "$target/release/examples/leader")

work=$(mktemp -d)
near=dtscost-$$-near
far=dtscost-$$-far
children=()
clean_up() {
    # Only what this script started, by its number.
    for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
    wait 2>/dev/null || true
    ip netns del "$near" 2>/dev/null || true
    ip netns del "$far" 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT

ip netns add "$near"
ip netns add "$far"
ip link add near0 netns "$near" type veth peer name far0 netns "$far"
ip -n "$near" address add 10.78.0.2/24 dev near0
ip -n "$far" address add 10.78.0.1/24 dev far0
for end in "$near near0" "$far far0"; do
    read -r namespace interface <<<"$end"
    ip -n "$namespace" link set lo up
    ip -n "$namespace" link set "$interface" up
    ip -n "$namespace" route add 224.0.0.0/4 dev "$interface"
done

ip netns exec "$far" "$leader" --interface 10.78.0.1 --ppm 20 --ntp 10.78.0.1:123 >/dev/null 2>"$work/leader" &
children+=($!)

options=(--dry-run --interface near0 --ntp-server 10.78.0.1)

# `ip netns exec` becomes the daemon, so its number is the daemon's.
ip netns exec "$near" "$daemon" "${options[@]}" 2>"$work/log" &
pid=$!
children+=("$pid")
# Nanoseconds on a processor, of all its threads: the ticks of /proc/PID/stat are 10 ms, too coarse for this.
on_cpu_ns() { cat /proc/"$pid"/task/*/schedstat | awk '{ sum += $1 } END { printf "%.0f", sum }'; }
# The start, up to the lock, costs more than the years after it, and is left out of the day.
sleep 10
at_start_ns=$(on_cpu_ns)
sleep "$((seconds - 10))"
[ -r "/proc/$pid/status" ] || { echo "ci/cost.sh: the daemon ended early:" >&2; cat "$work/log" >&2; exit 1; }
now_kb=$(awk '/^VmRSS:/ { print $2 }' "/proc/$pid/status")
peak_kb=$(awk '/^VmHWM:/ { print $2 }' "/proc/$pid/status")
threads=$(awk '/^Threads:/ { print $2 }' "/proc/$pid/status")
at_end_ns=$(on_cpu_ns)
# Fields 14 and 15 of stat, counted after the name in brackets.
ticks=$(sed 's/.*) //' "/proc/$pid/stat" | awk '{ print $12 + $13 }')
kill "$pid"
wait "$pid" || true
grep -q 'state=Locked' "$work/log" || { echo "ci/cost.sh: it never locked:" >&2; cat "$work/log" >&2; exit 1; }

ip netns exec "$near" strace -f -c -o "$work/counts" "$daemon" "${options[@]}" 2>"$work/log2" &
tracer=$!
children+=("$tracer")
sleep 1
traced=$(pgrep -P "$tracer" || true)
[ -n "$traced" ] || { echo "ci/cost.sh: strace did not start the daemon:" >&2; cat "$work/log2" >&2; exit 1; }
sleep "$((seconds - 1))"
kill "$traced"
wait "$tracer" || true
grep -q 'state=Locked' "$work/log2" || { echo "ci/cost.sh: under strace it never locked" >&2; exit 1; }

# The start costs some hundred calls once (libraries, interfaces); they are left in.
awk -v seconds="$seconds" -v at_start_ns="$at_start_ns" -v at_end_ns="$at_end_ns" -v ticks="$ticks" -v hz="$(getconf CLK_TCK)" \
    -v now_kb="$now_kb" -v peak_kb="$peak_kb" -v threads="$threads" '
    # Columns: % time, seconds, usecs/call, calls, [errors], syscall.
    $4 ~ /^[0-9]+$/ && $NF != "total" { calls[$NF] = $4; all += $4; errors[$NF] = NF == 6 ? $5 : 0 }
    END {
        packets = calls["recvmsg"] - errors["recvmsg"]
        steady_s = seconds - 10
        steady_ns = at_end_ns - at_start_ns
        printf "memory_kb            %d resident, %d at most, %d thread(s)\n", now_kb, peak_kb, threads
        printf "cpu_s_per_day        %.1f (%.1f ms in %d s; the first 10 s, left out, took %.1f ms)\n", \
            steady_ns / 1e9 * 86400 / steady_s, steady_ns / 1e6, steady_s, at_start_ns / 1e6
        printf "utime+stime          %d ticks of %d ms, start included\n", ticks, 1000 / hz
        printf "packets              %d read in %d s\n", packets, seconds
        printf "syscalls_per_packet  %.2f (%d in all, start included)\n", all / packets, all
        for (name in calls) if (calls[name] >= 10) printf "  %-18s %6d  %.2f per packet\n", name, calls[name], calls[name] / packets | "sort -k2,2nr"
    }' "$work/counts"

# A test binary is named with a hash, which cargo tells.
hot_path=$(cargo test --release --test hot_path --no-run 2>&1 | sed -n 's/.*Executable.*(\(.*\))$/\1/p')
instructions() {
    # Only what runs inside PtpController::turn; the world around it is made of numbers and not counted.
    HOT_PATH=$1 valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect='*PtpController*turn*' \
        "$hot_path" --exact --ignored load 2>&1 | awk '/Collected/ { print $NF }'
}
if command -v valgrind >/dev/null; then
    # The pairs before the lock, and the start, are in all of them and fall out of the differences. Foreign Syncs
    # come with each of the 1000 pairs before, too.
    one=$(instructions 1000,0)
    two=$(instructions 2000,0)
    foreign=$(instructions 1000,20)
    echo "instructions         $(((two - one) / 1000)) per Sync with Follow_Up, $(((foreign - one) / 40000)) per foreign Sync"
else
    echo "instructions         not counted: there is no valgrind"
fi
cargo test --release --quiet --test hot_path >"$work/hot_path" 2>&1 || { cat "$work/hot_path" >&2; exit 1; }
echo "allocations          none per packet once locked (cargo test --test hot_path)"

if [ "${DANTETIMESYNC_KERNEL_TESTS:-1}" != 0 ]; then
    DANTETIMESYNC_KERNEL_TESTS=1 cargo test --release --quiet --test kernel floods_ -- --nocapture --test-threads=1 |
        sed -n 's/^.*floods_leave_the_lock_alone_and_cost_little: /flood                /p'
fi
