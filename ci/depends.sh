#!/usr/bin/env bash
# Names each package once, by the highest version: "libc6 (>= 2.34), libc6 (>= 2.39), systemd" becomes
# "libc6 (>= 2.39), systemd". `cargo deb` asks for the libraries of each program by itself, so that one which two
# programs need in different versions is in the package's Depends twice.
#
#     ci/depends.sh "DEPENDS"          prints them
#     ci/depends.sh --mend FILE.deb    puts them into the package
set -euo pipefail

once() { # depends
    local clause name version names=()
    local -A least=()
    local plain='^([a-z0-9][a-z0-9.+:-]*)( \(>= ([^)]+)\))?$'
    while read -r clause; do
        [ -n "$clause" ] || continue
        name=$clause version=
        # What has alternatives or another relation stays as it is.
        if [[ $clause =~ $plain ]]; then
            name=${BASH_REMATCH[1]} version=${BASH_REMATCH[3]-}
        fi
        [ -n "${least[$name]+named}" ] || names+=("$name")
        if [ -z "${least[$name]-}" ] || dpkg --compare-versions "$version" gt "${least[$name]}"; then
            least[$name]=$version
        fi
    done < <(tr ',' '\n' <<<"$1")
    local joined=
    for name in "${names[@]}"; do
        joined+="${joined:+, }$name${least[$name]:+ (>= ${least[$name]})}"
    done
    echo "$joined"
}

mend() { # package
    local folder before after
    before=$(dpkg-deb --field "$1" Depends)
    after=$(once "$before")
    [ "$before" != "$after" ] || return 0
    folder=$(mktemp -d)
    dpkg-deb --raw-extract "$1" "$folder/package"
    # The field is on one line: cargo deb does not fold it.
    awk -v depends="$after" '/^Depends:/ { $0 = "Depends: " depends } { print }' \
        "$folder/package/DEBIAN/control" >"$folder/control"
    cat "$folder/control" >"$folder/package/DEBIAN/control"
    dpkg-deb --root-owner-group --build "$folder/package" "$1" >/dev/null
    rm -rf "$folder"
}

if [ "${1-}" = --mend ]; then mend "$2"; else once "$1"; fi
