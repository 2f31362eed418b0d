#!/usr/bin/env bash
# Boots the Debian root in FOLDER, into which the package was installed, as a container without a network and without
# the right to set the clock, and lets ci/boot-inside.sh try the service there. Needs root and systemd's container
# tools, which are unpacked and not installed; skips where they cannot be had.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$(realpath "${1:?usage: ci/boot.sh FOLDER}")
tools=$(realpath -m "${CARGO_TARGET_DIR:-target}/package/container")
skip() { echo "ci/boot.sh: skipped: $*"; exit 0; }

command -v script >/dev/null || skip "there is no script (bsdutils)"
if [ ! -x "$tools/usr/bin/systemd-nspawn" ]; then
    mkdir -p "$tools"
    (cd "$tools" && { apt-get download -qq systemd-container || { apt-get update -qq && apt-get download -qq systemd-container; }; }) \
        >/dev/null 2>&1 || skip "systemd-container cannot be had"
    dpkg -x "$tools"/systemd-container_*.deb "$tools"
fi

install -m 755 ci/boot-inside.sh "$root/deb/inside.sh"
install -m 755 ci/boot-guide.sh "$root/deb/guide.sh"
cp tests/data/s1-60s.pcap "$root/deb/dante.pcap"
rm -f "$root/deb/result"
cat >"$root/etc/systemd/system/boot-inside.service" <<'UNIT'
[Unit]
Description=Tries the service
After=systemd-journald.service
[Service]
Type=oneshot
ExecStart=/deb/inside.sh
[Install]
WantedBy=multi-user.target
UNIT
ln -sf ../boot-inside.service "$root/etc/systemd/system/multi-user.target.wants/boot-inside.service"

# A container needs a control group of its own, and gives it back. Not that of the processor: what is in a group of
# its own there may have no real-time priority.
groups=()
leave() {
    for group in "${groups[@]}"; do
        echo $$ >"$(dirname "$group")/cgroup.procs" || true
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
}
trap leave EXIT
for hierarchy in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    [ -w "$hierarchy/cgroup.procs" ] || continue
    group=$hierarchy/dantetimesync-boot-$$
    mkdir "$group" && groups+=("$group") && echo $$ >"$group/cgroup.procs"
done

# No --capability: setting the clock is refused in there. Reading how it is set is let through, which containers
# without that right refuse as well. `script` gives it the terminal that it wants.
library=$(find /usr/lib -name 'libsystemd-shared-*.so' -print -quit)
LD_LIBRARY_PATH=$(dirname "${library:-/usr/lib/none}") timeout 300 script -qefc \
    "$tools/usr/bin/systemd-nspawn -D $root --register=no --keep-unit --private-network --console=interactive \
    --system-call-filter='adjtimex clock_adjtime' -b" \
    /dev/null </dev/null >"$root/deb/console" 2>&1 || true
# Nothing there means that nothing ran; whatever happens after the first line of it is a matter of the service's.
[ -e "$root/deb/result" ] || skip "no container could be booted here: $(tail -n 1 "$root/deb/console")"
grep -v '^$' "$root/deb/result"
grep -q '^PASS' "$root/deb/result" || { echo "ci/boot.sh: the service failed in the container" >&2; exit 1; }
