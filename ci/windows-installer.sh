#!/usr/bin/env bash
# Makes the installer for Windows, and tests it under Wine.
#
#   ci/windows-installer.sh            build the program (release) and its installer; print its path
#   ci/windows-installer.sh --test     and install, upgrade and remove it under Wine, looking at files, service and
#                                      registry (an installer that did nothing also ends with 0)
#   EXE=FILE                           take this program, and the terminal view beside it, instead of building them
#
# Needs ci/windows-toolchain.sh and NSIS (apt-get install nsis); the test also root and iproute2.
set -euo pipefail
cd "$(dirname "$0")/.."
. ci/cargo-windows.sh
root=$PWD
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

if ! command -v makensis >/dev/null; then
    [ "$(id -u)" = 0 ] && apt-get install -y -qq --no-install-recommends nsis >/dev/null
fi

if [ -z "${EXE:-}" ]; then
    "${win_cargo[@]}" build --release --target "$WIN_TARGET"
    EXE=$target/$WIN_TARGET/release/dantetimesync.exe
fi
EXE=$(realpath "$EXE")
setup=$target/dantetimesync-$version-x64-setup.exe

# The stub of 64 bit: the usual one of 32 bit runs on Windows too, but not under a Wine without 32 bit, where it says
# that it has succeeded and does nothing.
build() { # version, output
    makensis -V2 -XTarget\ amd64-unicode "-DVERSION=$1" "-DEXE=$EXE" "-DWATCH=$(dirname "$EXE")/dantetimesync-watch.exe" \
        "-DOUT=$2" "-DLICENSE=$root/LICENSE" \
        "-DGUIDE=$root/docs/guide/windows.md" packaging/windows/installer.nsi
}
build "$version" "$setup"
ls -l "$setup"
[ "${1:-}" = --test ] || exit 0

# A Windows of its own, in a network namespace of its own: the service listens for PTP.
work=$(mktemp -d "$WIN_HOME/installer-test.XXXXXX")
space=installer-test-$$
prefix=$work/prefix
finish() {
    code=$?
    kill %% 2>/dev/null || true
    ip netns exec "$space" env WINEPREFIX="$prefix" wineserver-stable -k 2>/dev/null || true
    ip netns delete "$space" 2>/dev/null || true
    rm -rf "$work"
    exit "$code"
}
trap finish EXIT
# The files are shared; the registry is not.
cp -al "$WINEPREFIX" "$prefix"
rm -f "$prefix"/*.reg
cp "$WINEPREFIX"/*.reg "$prefix"
ip netns add "$space"
ip -n "$space" link set lo up
ip -n "$space" link add test0 type veth peer name test1
ip -n "$space" address add 192.0.2.1/24 dev test0
ip -n "$space" link set test0 up
ip -n "$space" link set test1 up

wine() { ip netns exec "$space" env WINEPREFIX="$prefix" "$root/ci/wine-run" "$@"; }
# Windows ends with its last program, and services with it: one stays.
sleep 600 </dev/null 2>/dev/null | wine cmd.exe >/dev/null 2>&1 &
sleep 2

folder="$prefix/drive_c/Program Files/dantetimesync"
program="$folder/dantetimesync.exe"
data=$prefix/drive_c/ProgramData/dantetimesync
key='HKLM\Software\Microsoft\Windows\CurrentVersion\Uninstall\dantetimesync'
source_key='HKLM\SYSTEM\CurrentControlSet\Services\EventLog\Application\dantetimesync'
service_key='HKLM\SYSTEM\CurrentControlSet\Services\dantetimesync'
value() { wine reg.exe query "$1" /v "$2" 2>/dev/null | tr -d '\r' | sed -n "s/^ *$2 *REG_[A-Z_]* *//p"; }
fail() { echo "FAILED: $*"; exit 1; }
check() { # what, command …
    local what=$1
    shift
    local said
    if said=$("$@" 2>&1); then echo "  ok: $what"; else fail "$what: $said"; fi
}
absent() { ! "$@"; }
is() { [ "$1" = "$2" ] || { echo "$1 instead of $2"; return 1; }; }
contains() { case $1 in *"$2"*) ;; *) echo "$1 without $2"; return 1 ;; esac; }
resource() { strings -el "$1" | grep -A 1 -x "$2" | tail -n 1; } # program, name of a string in it
runs() { # within 30 s; when a Windows starts, its first services come before its network
    for _ in $(seq 30); do
        wine "$program" service status >/dev/null 2>&1 && return 0
        sleep 1
    done
    return 1
}

echo "-- install"
# Any user can make a folder at the service's place, before there is a service, and files in it.
mkdir -p "$data"
echo 'ntp-server = "of-a-stranger"' >"$data/config.toml"
chown 12345 "$data/config.toml"
# The clock of Wine does not move, so the service that would steer it does not stay.
wine "$setup" /S /OPTIONS=--dry-run --skip-ntp || fail "the installer ended with $?"
check "the program" test -s "$program"
check "the terminal view" test -s "$folder/dantetimesync-watch.exe"
for part in "$program" "$folder/dantetimesync-watch.exe"; do
    name=$(basename "$part")
    check "version of $name" is "$(resource "$part" ProductVersion)" "$version"
    check "name of $name" is "$(resource "$part" OriginalFilename)" "$name"
    check "icon of $name" contains "$(x86_64-w64-mingw32-objdump -p "$part" | grep '^0..   Entry: ID')" 'ID: 0x00000e,'
done
check "the guide and the licence" test -s "$folder/guide.md" -a -s "$folder/LICENSE.txt"
check "the entry in the list of programs" is "$(value "$key" DisplayVersion)" "$version"
check "the service's command" contains "$(value "$service_key" ImagePath)" 'dantetimesync.exe" service run --dry-run --skip-ntp'
check "the service is started at every boot" is "$(value "$service_key" Start)" 0x2
check "the source of the event log" contains "$(value "$source_key" EventMessageFile)" EventCreate.exe
check "the service's folder" test -d "$data"
check "what another user had put there is not believed" test ! -e "$data/config.toml" -a -e "$data.before-1/config.toml"
check "the service runs" runs

echo "-- upgrade over the running service"
build "$version" "$work/again.exe" >/dev/null
touch -d '2001-01-01' "$program"
wine "$work/again.exe" /S || fail "the installer ended with $?"
check "the program is the new one" test "$(stat -c %Y "$program")" -gt 1000000000
check "the options stay" contains "$(value "$service_key" ImagePath)" 'service run --dry-run --skip-ntp'
check "the service runs" runs

echo "-- upgrade while a program of it runs"
# It stands for the terminal view, for which Wine would need a console.
wine "$program" demo --seconds 600 </dev/null >/dev/null 2>&1 &
open=$!
sleep 2
touch -d '2001-01-01' "$program" "$folder/dantetimesync-watch.exe"
wine "$work/again.exe" /S || fail "the installer ended with $?"
check "the program is the new one" test "$(stat -c %Y "$program")" -gt 1000000000
check "so is the terminal view" test "$(stat -c %Y "$folder/dantetimesync-watch.exe")" -gt 1000000000
check "the service runs" runs
check "what ran goes on" kill -0 "$open"
touch -d '2001-01-01' "$program"
wine "$program" demo --seconds 600 </dev/null >/dev/null 2>&1 &
second=$!
sleep 2
wine "$work/again.exe" /S || fail "the second installer beside what runs ended with $?"
check "the program is the new one again" test "$(stat -c %Y "$program")" -gt 1000000000
check "what ran goes on, both" kill -0 "$open" "$second"
check "under names of their own" is "$(find "$folder" -name '*.old' | wc -l)" 2
for demo in $(ip netns pids "$space" | xargs -r -I{} sh -c 'tr "\0" " " </proc/{}/cmdline 2>/dev/null | grep -q "demo --seconds" && echo {}'); do
    kill "$demo"
done
wait "$open" "$second" 2>/dev/null || true
wine "$work/again.exe" /S || fail "the installer ended with $?"
check "the next upgrade takes the old ones away" is "$(find "$folder" -name '*.old' | wc -l)" 0
check "the service runs" runs

echo "-- an upgrade that cannot write a file"
rm "$folder/guide.md"
mkdir "$folder/guide.md"
code=0
wine "$work/again.exe" /S || code=$?
check "it says so" is "$code" 2
check "the service runs again" runs
rmdir "$folder/guide.md"
wine "$work/again.exe" /S || fail "the installer ended with $?"
check "the next one writes it" test -s "$folder/guide.md"

echo "-- a stop, a start"
milliseconds() { echo $(($(date +%s%N) / 1000000)); }
before=$(milliseconds)
wine "$program" service stop || fail "service stop ended with $?"
# And one for Wine to start the program that tells it to.
took=$(($(milliseconds) - before))
check "it stops within two seconds: $took ms" test "$took" -le 3000
check "it says so" is "$(wine "$program" service status >/dev/null; echo $?)" 1
wine "$program" service start || fail "service start ended with $?"
check "the service runs" runs

echo "-- a service that fails"
wine "$program" service install --skip-ntp || fail "service install ended with $?"
sleep 4
check "a service whose clock does not move is not running" absent wine "$program" service status
check "and says so when it is started" absent wine "$program" service start

echo "-- Windows Time"
# Wine has none. This program stands in for it, from a copy, since it is a service that runs and does no harm.
cp "$program" "$prefix/drive_c/w32time.exe"
time_key='HKLM\SYSTEM\CurrentControlSet\Services\W32Time'
state_of() { wine sc.exe query "$1" | tr -d '\r' | sed -n 's/^ *STATE *: *[0-9]* *//p'; }
wine "$program" service install --dry-run --skip-ntp >/dev/null
wine sc.exe create W32Time binPath= 'C:\w32time.exe service run --dry-run --skip-ntp' start= demand >/dev/null
wine sc.exe start W32Time >/dev/null
sleep 2
check "it runs" contains "$(state_of W32Time)" RUNNING
check "it is seen" contains "$(wine "$program" service status)" 'in the way: Windows Time'
wine "$program" service takeover || fail "service takeover ended with $?"
check "it is stopped" contains "$(state_of W32Time)" STOPPED
check "and disabled" is "$(value "$time_key" Start)" 0x4
check "and remembered" contains "$(cat "$data/taken-over.json")" '"start":"demand","running":true'
wine "$program" service takeover || fail "the second takeover ended with $?"
check "a second takeover remembers what the first one found" contains "$(cat "$data/taken-over.json")" '"start":"demand","running":true'
wine "$program" service release || fail "service release ended with $?"
check "released, it runs again" contains "$(state_of W32Time)" RUNNING
check "and this service does not come back at a boot" is "$(value "$service_key" Start)" 0x3
wine "$work/again.exe" /S || fail "the installer ended with $?"
check "not by an upgrade either" is "$(value "$service_key" Start)" 0x3
check "which does not start it" absent wine "$program" service status
wine "$program" service takeover || fail "the third takeover ended with $?"
check "taken over, this service is started at every boot" is "$(value "$service_key" Start)" 0x2

echo "-- remove"
# It goes on in a copy of itself.
wine "$folder/uninstall.exe" /S || fail "the uninstaller ended with $?"
for _ in $(seq 30); do [ -e "$folder" ] && sleep 1; done
check "no program" test ! -e "$folder"
check "no entry in the list of programs" absent wine reg.exe query "$key"
check "no source of the event log" absent wine reg.exe query "$source_key"
check "no service" absent wine sc.exe query dantetimesync
check "the folder stays" test -d "$data"
check "Windows Time has the clock again" contains "$(state_of W32Time)" RUNNING
check "and is started as before" is "$(value "$time_key" Start)" 0x3
check "nothing more is remembered of it" test ! -e "$data/taken-over.json"

# Last, because Wine's service manager does not notice.
echo "-- a service that dies"
wine sc.exe stop W32Time >/dev/null
wine "$setup" /S /OPTIONS=--dry-run --skip-ntp || fail "the installer ended with $?"
wine "$program" service stop || fail "service stop ended with $?"
wine "$program" service install --dry-run --skip-ntp --status-socket '\\.\pipe\dantetimesync' >/dev/null
wine "$program" service start || fail "service start ended with $?"
told() { # exit code of the status: 1 where there is no leader
    local code=0
    for _ in $(seq 10); do
        code=0
        wine "$program" status >/dev/null 2>&1 || code=$?
        [ "$code" = "$1" ] && return 0
        sleep 1
    done
    echo "$code instead of $1"
    return 1
}
check "and tells its status" told 1
for pid in $(ip netns pids "$space"); do
    tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q 'dantetimesync.exe.* service run' && kill -9 "$pid"
done
check "killed, it tells none" told 2
# Windows starts it again; Wine's service manager takes it for running from then on. A program in its place:
wine "$program" --dry-run --skip-ntp --status-socket '\\.\pipe\dantetimesync' >/dev/null 2>&1 &
check "nothing is in its successor's way" told 1

echo "the installer works under Wine"
