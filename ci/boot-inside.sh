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

ready_in_time() { # limit in s, from the start of the unit
    began=$(cut -d' ' -f1 /proc/uptime)
    systemctl start dantetimesync.service || fail "it did not start"
    ended=$(cut -d' ' -f1 /proc/uptime)
    awk -v a="$began" -v b="$ended" -v most="$1" \
        'BEGIN { printf "ready after %.1f s\n", b - a; exit !(b - a < most) }' || fail "that is later than $1 s"
}
program() { # exit code, part of the text, command...
    code=0 wanted=$1 part=$2
    shift 2
    said=$("$@" 2>&1) || code=$?
    [ "$code" = "$wanted" ] || fail "$* ended with $code and not $wanted: $said"
    case $said in *"$part"*) ;; *) fail "$* does not say '$part': $said" ;; esac
}

echo "-- the boot goes on, whatever became of the service in it"
for _ in $(seq 300); do
    state=$(value ActiveState)
    case $state in failed | active) break ;; esac
    sleep 0.1
done
[ "$state" = failed ] || fail "at boot it is $state and not failed, without any right"

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

echo "-- bad arguments, another program that steers, a second one: 64, 69, 75, and not started again"
ends_with() { # exit code
    systemctl reset-failed dantetimesync.service
    systemctl start dantetimesync.service && fail "it started"
    is ExecMainStatus "$1"
    sleep 0.5
    is ActiveState failed
    is NRestarts 0
}
same="RestartSec=100ms
AmbientCapabilities=
AmbientCapabilities=$rights
CapabilityBoundingSet=
CapabilityBoundingSet=$rights"
settings
unit "$same" ExecStart= 'ExecStart=/usr/bin/dantetimesync --no-such-flag'
ends_with 64
unit "$same"
cp "$(command -v sleep)" /tmp/chronyd
/tmp/chronyd 60 &
rival=$!
ends_with 69
kill "$rival"
/usr/bin/flock /run/dantetimesync.lock sleep 60 &
holder=$!
sleep 0.2
ends_with 75
kill "$holder"

echo "-- without a network it is ready within 3 s, in its sandbox, and waits"
# As with a cable that is not plugged in: whatever waits for the network waits long.
cat >/etc/systemd/system/slow-network.service <<'UNIT'
[Unit]
Before=network-online.target
[Service]
Type=oneshot
ExecStart=/bin/sleep 300
[Install]
WantedBy=network-online.target
UNIT
systemctl daemon-reload
systemctl enable slow-network.service
systemctl start --no-block network-online.target
settings 'dry-run = true'
ready_in_time 3
[ "$(systemctl is-active network-online.target)" = inactive ] || fail "the network was not waited for"
systemctl stop slow-network.service
is ActiveState active
is StatusText 'waiting for a network interface'
pid=$(value MainPID)
[ "$(stat -c %U "/proc/$pid")" = dantetimesync ] || fail "it runs as $(stat -c %U "/proc/$pid")"
systemctl stop dantetimesync.service
is Result success
is ExecMainStatus 0

echo "-- with an interface and a dead NTP server it is ready within 3 s too"
settings 'dry-run = true' 'interface = "lo"' 'ntp-server = "127.0.0.1:9"' 'log-level = "debug"'
ready_in_time 3
journal_has 'listening' 20
systemctl stop dantetimesync.service

echo "-- and where the interface gets its address just before others would not have waited any longer"
cat >/etc/systemd/network/eth.netdev <<'UNIT'
[NetDev]
Name=eth0
Kind=veth
[Peer]
Name=eth1
UNIT
printf '[Match]\nName=eth0\n[Network]\nAddress=10.77.9.1/24\n' >/etc/systemd/network/eth0.network
printf '[Match]\nName=eth1\n[Network]\nAddress=10.77.10.1/24\n' >/etc/systemd/network/eth1.network
settings 'dry-run = true' 'ntp-server = "127.0.0.1:9"' 'log-level = "debug"'
(sleep 1 && systemctl start systemd-networkd.service) &
ready_in_time 3
journal_has 'eth0' 50
journalctl --no-pager --output=short-unix --unit=dantetimesync.service |
    awk '/waiting for it/ { a = $1; b = 0 } /eth0/ && !b { b = $1 }
         END { printf "the address came after %.1f s%s\n", b - a, b - a < 2.2 ? "" : ": too late to show anything" }'
systemctl stop dantetimesync.service systemd-networkd.service systemd-networkd.socket
settings 'dry-run = true' 'interface = "lo"' 'ntp-server = "127.0.0.1:9"' 'log-level = "debug"'
systemctl start dantetimesync.service

echo "-- real-time priority and locked memory, or a word that there are none"
pid=$(value MainPID)
chrt --all-tasks --pid "$pid" | grep -q SCHED_FIFO || journal_has 'no real-time priority' 1
[ "$(awk '/^VmLck/ { print $2 }' "/proc/$pid/status")" -gt 0 ] || journal_has 'no memory that is never swapped out' 1
chrt --all-tasks --pid "$pid" | grep SCHED_FIFO
grep VmLck "/proc/$pid/status"

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

echo "-- the journal knows what is a warning"
warned=$(journalctl --no-pager --output=cat --priority=warning --unit=dantetimesync.service)
case $warned in *listening*) fail "'listening' is no warning" ;; *127.0.0.1:9*) ;; *) fail "no warning of the dead server: $warned" ;; esac

echo "-- its own files, in the places they have without a dry run: status, events, state"
unit AmbientCapabilities= "AmbientCapabilities=$rights" CapabilityBoundingSet= "CapabilityBoundingSet=$rights"
files='status-socket = "/run/dantetimesync/status.sock"
event-file = "/var/lib/dantetimesync/events.jsonl"
state-file = "/var/lib/dantetimesync/state.json"'
settings 'dry-run = true' 'interface = "lo"' 'ntp-server = "127.0.0.1:1123"' "$files"
ready_in_time 3
program 1 'no PTPv1 leader' runuser -u nobody -- dantetimesync status
systemctl stop dantetimesync.service
/deb/leader --interface 127.0.0.1 --ntp 127.0.0.1:1123 >/deb/leader.log 2>&1 &
leader=$!
sleep 0.5
# With a server that answers it does not let that time pass.
ready_in_time 2.2
systemctl start dantetimesync-wait.service || fail "the lock was not waited for: $(dantetimesync status)"
[ "$(systemctl is-active dantetimesync-wait.service)" = active ] || fail "nobody waits"
program 0 'Locked' runuser -u nobody -- dantetimesync status
program 0 '"state": "locked"' runuser -u nobody -- dantetimesync status --json
program 0 'ocked' runuser -u nobody -- dantetimesync events --since 10min

echo "-- the commands of the guide"
systemctl start systemd-networkd.service
for _ in $(seq 50); do grep -q eth1 /proc/net/fib_trie /proc/net/route && break; sleep 0.1; done
/deb/guide.sh || fail "the guide"
systemctl stop systemd-networkd.service

systemctl stop dantetimesync.service
[ "$(systemctl is-active dantetimesync-wait.service)" = inactive ] || fail "what waited for the lock outlives it"
program 2 'not running' runuser -u nobody -- dantetimesync status
chmod 600 /etc/dantetimesync/config.toml
program 2 'It may be elsewhere: cannot read the configuration file' runuser -u nobody -- dantetimesync status
chmod 644 /etc/dantetimesync/config.toml
[ -s /var/lib/dantetimesync/events.jsonl ] || fail "no events are kept"

echo "-- an upgrade over the running service"
systemctl start dantetimesync.service || fail "it did not start"
pid=$(value MainPID)
dpkg --force-confold --install /deb/dantetimesync.deb >/dev/null 2>&1 || fail "the upgrade failed"
is ActiveState active
[ "$(value MainPID)" != "$pid" ] || fail "the old program still runs"
program 0 'Locked' dantetimesync status --wait-locked 60
systemctl stop dantetimesync.service
kill "$leader"

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
program 71 'a permission is missing (exit code 77)' dantetimesync service takeover
chrony_is active enabled
[ ! -e /var/lib/dantetimesync-takeover.json ] || fail "something is still remembered"
settings 'ntp-server = "127.0.0.1:1123"' 'interface = "lo"' 'dry-run = true'
dantetimesync service takeover || fail "it did not take over"
chrony_is inactive disabled
is ActiveState active
dantetimesync service status || fail "it does not run"
systemctl restart dantetimesync || fail "it did not start anew"
systemctl enable dantetimesync-wait.service || fail "nobody can wait for the lock at boot"
dantetimesync service release || fail "it was not given back"
chrony_is active enabled
systemctl restart chrony || fail "chrony did not start anew"
dantetimesync service takeover || fail "it did not take over again"
chrony_is inactive disabled

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
