#!/bin/sh
# Runs every command of the guide, in the container that ci/boot.sh boots, beside a service that is locked in a dry run.
# Each line of a `sh` block must be one that is known here: run now, or named with where it is run instead.
set -u
cd "$(mktemp -d)" || exit 1
cp /deb/dante.pcap .

fail() { echo "FAIL: $*"; exit 1; }
lines() { awk 'FNR == 1 { on = 0 } /^```/ { on = ($0 == "```sh"); next } on' /usr/share/doc/dantetimesync/guide/*.md | sort -u; }
seen=0
try() { # exit codes that are right, seconds, command...
    right=$1 most=$2
    shift 2
    code=0
    timeout --kill-after=5 "$most" "$@" >said 2>&1 </dev/null || code=$?
    case " $right " in *" $code "*) ;; *) fail "$line ended with $code and not with one of $right: $(tail -n 5 said)" ;; esac
    [ -s said ] || fail "$line says nothing"
    seen=$((seen + 1))
}
# 124 is what `timeout` says of those that go on until they are stopped.
on_a_screen() { try "0 124" "$1" script -qec "stty rows 24 cols 80; $command" /dev/null; }

# What the guide's status page begins with; its other commands ask it.
dantetimesync demo --seconds 600 --status-socket /tmp/demo.sock >demo.log 2>&1 &
demo=$!
trap 'kill "$demo"' EXIT
for _ in $(seq 50); do [ -S /tmp/demo.sock ] && break; sleep 0.1; done

lines >lines
while read -r line <&3; do
    command=${line#sudo }
    case $command in
    "cargo build "* | "target/release/"*) continue ;;         # .ci/run; ci/boot-inside.sh, as /root/program
    "apt "*) continue ;;                                      # ci/package.sh, with dpkg and without a network
    "ip "* | "ethtool "* | "nft "* | "tcpdump "* | "sed "*) continue ;;       # tests/guide.rs
    "dantetimesync service takeover" | "dantetimesync service release" | \
        "dantetimesync service uninstall --purge" | "systemctl restart chrony" | \
        "systemctl restart dantetimesync" | "systemctl enable dantetimesync-wait.service") continue ;; # ci/boot-inside.sh
    "dantetimesync demo --seconds 600 "*) continue ;;         # above
    "dantetimesync watch"*) on_a_screen 3 ;;
    "dantetimesync demo "* | "dantetimesync bench "*) try "0 124" 10 $command ;;
    "dantetimesync monitor "*) try 124 4 $command ;;
    # Whether it finds something depends on the interface that is named.
    "dantetimesync --dry-run -v") try 124 3 $command ;;
    "dantetimesync --dry-run --interface "*) try 124 3 $command ;;
    "dantetimesync doctor --seconds 300") try "124" 5 $command ;;
    "dantetimesync doctor"*) try "0 1" 40 $command ;;
    "dantetimesync status --socket /tmp/demo.sock") try "0 1" 5 $command ;;
    "dantetimesync "*) try 0 70 $command ;;
    "journalctl "*" -f") try 124 2 $command ;;
    "journalctl "*) try 0 10 $command ;;
    "systemctl reload dantetimesync") systemctl reload dantetimesync || fail "$line" ;;
    "systemctl "*) try 0 10 $command ;;
    *) fail "nobody runs this command of the guide: $line" ;;
    esac
done 3<lines
[ "$seen" -ge 20 ] || fail "only $seen commands were found in the guide"
echo "$seen commands of the guide were run"
