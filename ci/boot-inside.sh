#!/bin/sh
# Runs as a service in the container that ci/boot.sh boots, and leaves its findings in /deb/result. The container may
# not set the clock: the service is tried without that right first, and then in a dry run.
exec >/deb/result 2>&1
set -u

fail() {
    echo "FAIL: $*"
    systemctl status --no-pager --full dantetimesync.service
    journalctl --no-pager --output=cat --unit=dantetimesync.service | tail -n 20
    systemctl poweroff --no-block
    exit 1
}
value() { systemctl show --value --property="$1" dantetimesync.service; }
is() { # property, value
    found=$(value "$1")
    [ "$found" = "$2" ] || fail "$1 is $found and not $2"
}
until_is() { # property, value, tenths of a second
    for _ in $(seq "$3"); do
        [ "$(value "$1")" = "$2" ] && return
        sleep 0.1
    done
    fail "$1 is $(value "$1") and not $2 after $3 tenths of a second"
}
settings() { printf '%s\n' "$@" >/etc/dantetimesync/config.toml; }
unit() { # lines of [Service]
    mkdir -p /etc/systemd/system/dantetimesync.service.d
    printf '%s\n' '[Service]' "$@" >/etc/systemd/system/dantetimesync.service.d/test.conf
    systemctl daemon-reload
}
journal_has() { # text, tenths of a second
    for _ in $(seq "$2"); do
        journalctl --no-pager --output=cat --unit=dantetimesync.service | grep -qF -e "$1" && return
        sleep 0.1
    done
    fail "the journal does not say: $1"
}

# Here the right is missing altogether, so the unit must not ask for it: systemd itself would refuse.
rights='CAP_NET_BIND_SERVICE'
unit AmbientCapabilities= "AmbientCapabilities=$rights" CapabilityBoundingSet= "CapabilityBoundingSet=$rights"
systemctl reset-failed dantetimesync.service

echo "-- without the right to set the clock it ends with 77 and is not started again"
systemctl start dantetimesync.service && fail "it started"
is ExecMainStatus 77
is NRestarts 0
is ActiveState failed

echo "-- a faulty configuration: 78, with the line"
settings 'utc-slew = 900'
systemctl start dantetimesync.service && fail "it started"
is ExecMainStatus 78
journal_has '/etc/dantetimesync/config.toml:1: utc-slew: found 900, allowed 1 to 500 ppm' 20

echo "-- without a network it is ready within 3 s, in its sandbox, and waits"
settings 'dry-run = true'
began=$(cut -d' ' -f1 /proc/uptime)
systemctl start dantetimesync.service || fail "it did not start"
ended=$(cut -d' ' -f1 /proc/uptime)
awk -v a="$began" -v b="$ended" 'BEGIN { printf "ready after %.1f s\n", b - a; exit !(b - a < 3.5) }' || fail "that is too late"
is ActiveState active
is StatusText 'waiting for a network interface'
pid=$(value MainPID)
[ "$(stat -c %U "/proc/$pid")" = dantetimesync ] || fail "it runs as $(stat -c %U "/proc/$pid")"
systemctl stop dantetimesync.service
is Result success
is ExecMainStatus 0

echo "-- with an interface and a dead NTP server it is ready within 3 s too"
settings 'dry-run = true' 'interface = "lo"' 'ntp-server = "127.0.0.1:9"' 'log-level = "debug"'
began=$(cut -d' ' -f1 /proc/uptime)
systemctl start dantetimesync.service || fail "it did not start"
ended=$(cut -d' ' -f1 /proc/uptime)
awk -v a="$began" -v b="$ended" 'BEGIN { printf "ready after %.1f s\n", b - a; exit !(b - a < 3.5) }' || fail "that is too late"
journal_has 'listening' 20
# What the sandbox lets the program have for itself; the container's control group may still refuse the priority.
journalctl --no-pager --output=cat --unit=dantetimesync.service | grep 'going on without'

echo "-- reload"
settings 'dry-run = true' 'interface = "lo"' 'ntp-server = "127.0.0.1:9"' 'log-level = "debug"' 'utc-slew = 50'
systemctl reload dantetimesync.service || fail "it was not reloaded"
journal_has 'utc-slew is now 50; it was 100' 50

echo "-- a loop that stands still is ended by the watchdog, and begins anew"
unit AmbientCapabilities= "AmbientCapabilities=$rights" CapabilityBoundingSet= "CapabilityBoundingSet=$rights" \
    WatchdogSec=2 RestartSec=100ms
systemctl restart dantetimesync.service || fail "it did not restart"
pid=$(value MainPID)
kill -STOP "$pid"
until_is NRestarts 1 100
until_is ActiveState active 100
[ "$(value MainPID)" != "$pid" ] || fail "it is the same process"

systemctl stop dantetimesync.service || fail "it did not stop"
is Result success

echo "-- takeover: refused while no server answers, undone where the service does not start, and given back"
cat >/usr/lib/systemd/system/chrony.service <<'UNIT'
[Service]
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
chrony_is() { # active, enabled
    found="$(systemctl is-active chrony.service), $(systemctl is-enabled chrony.service)"
    [ "$found" = "$1, $2" ] || fail "chrony is $found and not $1, $2"
}
systemctl disable dantetimesync.service
systemctl enable --now chrony.service
settings 'ntp-server = "127.0.0.1:1123"'
dantetimesync service takeover --patience 1
[ $? = 69 ] || fail "it took over without a server"
chrony_is active enabled
/deb/leader --interface 127.0.0.1 --ntp 127.0.0.1:1123 >/deb/leader.log 2>&1 &
# The right is missing, so it ends with 77, and chrony gets the clock back.
dantetimesync service takeover && fail "it took over"
chrony_is active enabled
[ ! -e /var/lib/dantetimesync-takeover.json ] || fail "something is still remembered"
settings 'ntp-server = "127.0.0.1:1123"' 'interface = "lo"' 'dry-run = true'
dantetimesync service takeover || fail "it did not take over"
chrony_is inactive disabled
is ActiveState active
dantetimesync service status || fail "it does not run"

echo "-- removal gives the clock back"
cp /usr/bin/dantetimesync /root/program
dpkg --purge dantetimesync >/dev/null 2>&1 || fail "it was not purged"
nothing_left() {
    for left in /var/lib/dantetimesync /run/dantetimesync /etc/dantetimesync /usr/local/bin/dantetimesync; do
        [ ! -e "$left" ] || fail "$left is left behind"
    done
    getent passwd dantetimesync && fail "the user is left behind"
}
rm -rf /etc/systemd/system/dantetimesync.service.d
nothing_left
chrony_is active enabled

echo "-- without the package: install, take over, uninstall"
/root/program service install || fail "it was not installed"
/root/program service install | grep -q written && fail "it was written twice"
unit AmbientCapabilities= "AmbientCapabilities=$rights" CapabilityBoundingSet= "CapabilityBoundingSet=$rights"
settings 'ntp-server = "127.0.0.1:1123"' 'interface = "lo"' 'dry-run = true'
/root/program service takeover || fail "it did not take over"
chrony_is inactive disabled
is ActiveState active
/root/program service uninstall --purge || fail "it was not uninstalled"
rm -rf /etc/systemd/system/dantetimesync.service.d
nothing_left
chrony_is active enabled
echo "PASS"
systemctl poweroff --no-block
