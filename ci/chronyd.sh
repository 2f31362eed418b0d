#!/usr/bin/env bash
# Unpacks Debian's chronyd into FOLDER, for the kernel tests; prints where it is. Nothing is installed, and no
# service is started. Its libraries are those of apt itself.
set -euo pipefail

folder=${1:?usage: ci/chronyd.sh FOLDER}
program=$folder/usr/sbin/chronyd
if [ ! -x "$program" ]; then
    mkdir -p "$folder"
    folder=$(realpath "$folder")
    program=$folder/usr/sbin/chronyd
    # The list of packages may be missing or old.
    (cd "$folder" && { apt-get download -qq chrony || { apt-get update -qq && apt-get download -qq chrony; }; }) >&2
    dpkg -x "$folder"/chrony_*.deb "$folder" >&2
fi
"$program" --version >&2
realpath "$program"
