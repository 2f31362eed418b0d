#!/usr/bin/env bash
# Builds the Debian package and does with it what a user would, in a clean Debian root that is made once and kept in
# the cache: install, look, upgrade, remove, purge. Nothing on this computer is installed or started, and no clock is
# touched. Needs root and debootstrap, or skips and says so.
set -euo pipefail
cd "$(dirname "$0")/.."

# systemd rates a unit from 0 to 10, here times ten: what is left open is explained in the unit.
exposure_most=23

fail() { echo "ci/package.sh: $*" >&2; exit 1; }
once() { # depends, expected
    [ "$(ci/depends.sh "$1")" = "$2" ] || fail "ci/depends.sh makes '$(ci/depends.sh "$1")' of '$1', and not '$2'"
}
skip() { echo "ci/package.sh: skipped: $*"; exit 0; }

[ "$(id -u)" = 0 ] || skip "a Debian root needs root"
for tool in dpkg-deb unshare systemd-analyze; do
    command -v "$tool" >/dev/null || skip "there is no $tool"
done
once "libc6 (>= 2.34), libc6 (>= 2.39), systemd" "libc6 (>= 2.39), systemd"
once "libc6 (>= 2.10), libc6 (>= 2.9), libc6" "libc6 (>= 2.10)"
once "a | b, systemd, libc6 (<< 3), systemd (>= 250)" "a | b, systemd (>= 250), libc6 (<< 3)"
if ! cargo deb --version >/dev/null 2>&1; then
    cargo install --locked --quiet cargo-deb || skip "cargo-deb could not be installed"
fi

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/package"
# Strips nothing and signs nothing: what is tested is what was built.
cargo build --release --quiet --bins --example leader
cargo deb --no-build --quiet --output "$target/package/dantetimesync.deb"
deb=$(realpath "$target/package/dantetimesync.deb")
ci/depends.sh --mend "$deb"
depends=$(dpkg-deb --field "$deb" Depends)
twice=$(tr ',' '\n' <<<"$depends" | awk '{ print $1 }' | sort | uniq -d)
[ -z "$twice" ] || fail "Depends names $twice more than once: $depends"
grep -q 'libc6 (>= ' <<<"$depends" || fail "Depends does not say which libc6: $depends"
dpkg-deb --contents "$deb" | awk '{ print $1, $6 }'

cache=${XDG_CACHE_HOME:-$HOME/.cache}/dantetimesync
base=$cache/debian-root-1
if [ ! -e "$base/.complete" ]; then
    if ! command -v debootstrap >/dev/null; then
        { apt-get update -qq && apt-get -o DPkg::Lock::Timeout=60 install -y -qq --no-install-recommends debootstrap; } >/dev/null ||
            skip "debootstrap could not be installed"
    fi
    rm -rf "$base"
    mkdir -p "$cache"
    # The same Debian as this computer's, whose libraries the program was linked with.
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
    debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus "$release" "$base" ${mirror:+"$mirror"} \
        >"$target/package/debootstrap.log" 2>&1 || skip "no Debian root could be made: $(tail -n 1 "$target/package/debootstrap.log")"
    touch "$base/.complete"
fi

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
cp -a --reflink=auto "$base/." "$root"
mkdir -p "$root/deb"
cp "$deb" "$root/deb/dantetimesync.deb"

# In namespaces of its own: mounts and processes end with it, and there is no network.
# shellcheck disable=SC2016
inside() { # command...
    unshare --mount --pid --fork --net --kill-child sh -c '
        mount -t proc proc "$0/proc" && mount -t tmpfs tmpfs "$0/run" && exec chroot "$0" "$@"' "$root" "$@"
}
# What packages leave behind is judged without the package manager's own notes.
content() {
    (cd "$root" && find . -xdev \( -path ./deb -o -path ./proc -o -path ./run -o -path ./var/lib/dpkg \
        -o -path ./var/log -o -path ./var/cache \) -prune -o -print | sort)
    sort "$root/etc/passwd" "$root/etc/group"
}
works() { inside "$@" >"$target/package/said" 2>&1 || fail "$* failed: $(cat "$target/package/said")"; }
says() { # exit code, part of the text, command...
    local code=0 wanted=$1 part=$2
    shift 2
    inside "$@" >"$target/package/said" 2>&1 || code=$?
    [ "$code" = "$wanted" ] || fail "$* ended with $code and not $wanted: $(cat "$target/package/said")"
    grep -qF -e "$part" "$target/package/said" || fail "$* does not say '$part': $(cat "$target/package/said")"
}
installed() { works dpkg --install /deb/dantetimesync.deb; }

content >"$target/package/before"

echo "-- install"
installed
works test -L /etc/systemd/system/multi-user.target.wants/dantetimesync.service
works getent passwd dantetimesync
says 0 "dantetimesync $(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)" dantetimesync --version
says 0 "/etc/dantetimesync/config.toml: ok" dantetimesync check-config
for file in man/man1/dantetimesync.1.gz man/man5/dantetimesync.toml.5.gz bash-completion/completions/dantetimesync \
    zsh/vendor-completions/_dantetimesync fish/vendor_completions.d/dantetimesync.fish doc/dantetimesync/copyright; do
    works test -e "/usr/share/$file"
done

echo "-- the units"
units=/usr/lib/systemd/system
works systemd-analyze verify --man=no "$units/dantetimesync.service" "$units/dantetimesync-wait.service"
[ ! -s "$target/package/said" ] || fail "systemd-analyze verify complains: $(cat "$target/package/said")"
for unit in dantetimesync dantetimesync-wait; do
    systemd-analyze security --offline=true --no-pager --threshold="$exposure_most" "$root$units/$unit.service" \
        >"$target/package/security" || fail "$unit.service is too open: $(tail -n 1 "$target/package/security")"
    tail -n 1 "$target/package/security"
done

echo "-- the program, as the service's user and without the right to set the clock"
says 77 CAP_SYS_TIME setpriv --reuid dantetimesync --regid dantetimesync --clear-groups \
    --bounding-set -all --inh-caps -all dantetimesync --skip-ntp
# Started by hand, it leaves its lock where the next boot clears it.
works rm -f /tmp/dantetimesync.lock
echo 'utc-slew = 900' >>"$root/etc/dantetimesync/config.toml"
says 78 "utc-slew: found 900, allowed 1 to 500 ppm" dantetimesync --dry-run
says 78 "utc-slew: found 900, allowed 1 to 500 ppm" dantetimesync check-config

echo "-- upgrade: what was changed in the configuration stays"
inside dpkg --force-confold --install /deb/dantetimesync.deb >/dev/null 2>&1 || fail "the upgrade failed"
grep -q '^utc-slew = 900' "$root/etc/dantetimesync/config.toml" || fail "the upgrade lost the configuration"

echo "-- remove and purge"
mkdir -p "$root/var/lib/dantetimesync"
touch "$root/var/lib/dantetimesync/state.json"
works dpkg --remove dantetimesync
works test -e /etc/dantetimesync/config.toml
works test ! -e /etc/systemd/system/multi-user.target.wants/dantetimesync.service
installed
works test -L /etc/systemd/system/multi-user.target.wants/dantetimesync.service
echo '{"units":[{"name":"chrony.service"}]}' >"$root/var/lib/dantetimesync-takeover.json"
says 0 "starts them: chrony.service" dpkg --purge dantetimesync
content >"$target/package/after"
# The files that the C library keeps of passwd and group are not ours.
diff <(grep -v '^\./etc/\(passwd\|group\|shadow\|gshadow\)-$\|^\./etc/\.pwd\.lock$' "$target/package/before") \
    <(grep -v '^\./etc/\(passwd\|group\|shadow\|gshadow\)-$\|^\./etc/\.pwd\.lock$' "$target/package/after") ||
    fail "something is left behind (>), or gone (<)"

echo "-- beside another time service nothing is taken"
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
printf '[Service]\nExecStart=/bin/sleep 1\n[Install]\nWantedBy=multi-user.target\n' >"$root$units/chrony.service"
works systemctl enable chrony.service
installed
grep -q 'dantetimesync service takeover' "$target/package/said" || fail "it is not said how to take over: $(cat "$target/package/said")"
works test ! -e /etc/systemd/system/multi-user.target.wants/dantetimesync.service
works test -e /etc/systemd/system/multi-user.target.wants/chrony.service

echo "-- a boot, in a container that may not set the clock"
works systemctl disable chrony.service
rm -f "$root$units/chrony.service"
works dpkg --purge dantetimesync
installed
# It serves the time to the test of the takeover.
cp "$target/release/examples/leader" "$root/deb/leader"
ci/boot.sh "$root"

echo "ci/package.sh: $(dpkg-deb --field "$deb" Package Version Installed-Size | tr '\n' ' ')is good"
