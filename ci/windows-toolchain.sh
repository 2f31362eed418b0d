#!/usr/bin/env bash
# Installs what builds and runs this program for Windows on Debian 12, from Debian's packages and crates.io alone: for
# machines that cannot reach rustup's server, as those of CI. Elsewhere `rustup target add x86_64-pc-windows-gnu`,
# mingw-w64 and Wine do the same; see CONTRIBUTING.md.
#
#   WIN_HOME       where everything goes        (~/.cache/windows-toolchain; 1.4 GB)
#   WIN_TOOLCHAIN  its name as rustup knows it  (windows-cross)
#
# Debian's current compiler (rustc-web) is unpacked, not installed, and builds the standard library for the target
# from its own sources. Takes some two minutes, and well under a second when there is nothing to do.
set -euo pipefail

target=x86_64-pc-windows-gnu
host=x86_64-unknown-linux-gnu
home=${WIN_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/windows-toolchain}
name=${WIN_TOOLCHAIN:-windows-cross}
ci=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
mkdir -p "$home"
home=$(cd "$home" && pwd)
toolchain=$home/toolchain
prefix=$home/prefix

# What was made by an older recipe is made anew: raise this with a change of what is made.
recipe=1

exec 9>"$home/.lock"
flock 9

say() { printf 'windows-toolchain: %s\n' "$*" >&2; }

# Package servers time out now and then.
retry() {
    local try
    for try in 1 2 3 4; do
        "$@" && return 0
        say "attempt $try failed: $*"
        sleep $((try * 3))
    done
    return 1
}

apt() { env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@"; }

install_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || missing+=("$package")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    say "installing ${missing[*]}"
    retry apt update
    retry apt install -y --no-install-recommends "${missing[@]}" >"$home/apt.log" 2>&1
}

# Downloads the compiler's packages into $1, with those that they need and this machine lacks.
fetch_compiler() {
    local wanted='rustc-web cargo-web rust-web-clippy rust-web-src libstd-rust-web-dev' packages package
    # shellcheck disable=SC2086
    apt-cache show $wanted >/dev/null 2>&1 || retry apt update
    # The package of the compiler's own library is named after its version.
    wanted+=" $(apt-cache depends libstd-rust-web-dev | awk '/Depends: libstd-rust-web-/ { print $2; exit }')"
    # shellcheck disable=SC2086
    packages=$(apt-get install -s --no-install-recommends $wanted | awk '/^Inst / { print $2 }')
    # What is installed already is not listed, and needed all the same.
    for package in $wanted; do
        grep -qx "$package" <<<"$packages" || packages+=$'\n'$package
    done
    say "fetching" $packages
    # A stale list names files that the server no longer has.
    # shellcheck disable=SC2086
    (cd "$1" && { apt -o APT::Sandbox::User=root download $packages ||
        { apt update && retry apt -o APT::Sandbox::User=root download $packages; }; })
}

# Lays out the unpacked packages in $1 as a toolchain of rustup's in $2.
lay_out() {
    local root=$1 made=$2 lib real
    mkdir -p "$made/bin" "$made/lib/rustlib/src/rust"
    cp -a "$root"/usr/bin/{rustc,rustdoc,cargo,cargo-clippy,clippy-driver} "$made/bin/"
    find "$root/usr/lib/x86_64-linux-gnu" -maxdepth 1 -name '*.so*' -exec cp -a -t "$made/lib/" {} +
    # libLLVM and the like may be links into other folders: files here.
    for lib in "$made"/lib/*.so*; do
        if [ -L "$lib" ] && [ ! -e "$lib" ]; then
            real=$(find "$root" -type f -name "$(basename "$(readlink "$lib")")*" | head -1)
            rm "$lib"
            [ -z "$real" ] || cp -a "$real" "$lib"
        fi
    done
    cp -a "$root/usr/lib/rustlib/$host" "$made/lib/rustlib/"
    find "$made/lib/rustlib/$host/lib" -type l | while read -r lib; do
        [ -e "$lib" ] || ln -sf "../../../$(basename "$(readlink "$lib")")" "$lib"
    done
    cp -a "$root"/usr/src/rustc-*/library "$made/lib/rustlib/src/rust/"
}

# Builds the standard library for the target with the toolchain in $1, in the folder $2.
build_std() {
    local made=$1 work=$2
    say "building the standard library for $target with $(LD_LIBRARY_PATH=$made/lib "$made/bin/rustc" -V)"
    mkdir -p "$work/empty/src" "$made/lib/rustlib/$target/lib"
    : >"$work/empty/src/lib.rs"
    printf '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n' >"$work/empty/Cargo.toml"
    # This one crate must abort, or `panic = "abort"` will not link; the others must unwind.
    cat >"$work/rustc" <<END
#!/bin/sh
case " \$* " in *" --crate-name panic_abort "*) set -- "\$@" -Cpanic=abort ;; esac
exec "$made/bin/rustc" "\$@"
END
    chmod +x "$work/rustc"
    # Nothing of the caller's settings of cargo may get in. Bitcode: link-time optimisation needs it. Remapped: no
    # path of this machine in the programs built.
    retry env -i HOME="$HOME" PATH="$made/bin:/usr/bin:/bin" LD_LIBRARY_PATH="$made/lib" \
        ${CARGO_HOME:+CARGO_HOME="$CARGO_HOME"} ${SSL_CERT_FILE:+SSL_CERT_FILE="$SSL_CERT_FILE"} \
        ${SSL_CERT_DIR:+SSL_CERT_DIR="$SSL_CERT_DIR"} \
        RUSTC="$work/rustc" RUSTC_BOOTSTRAP=1 __CARGO_DEFAULT_LIB_METADATA="$name-std" \
        RUSTFLAGS="-Cembed-bitcode=yes --remap-path-prefix=$made/lib/rustlib/src/rust=/rustc" \
        "$made/bin/cargo" build -q --release --manifest-path "$work/empty/Cargo.toml" \
        --target-dir "$work/target" --target "$target" \
        -Zbuild-std=std,panic_unwind,panic_abort,test -Zbuild-std-features=panic-unwind,backtrace
    find "$work/target/$target/release/deps" -name '*.rlib' ! -name 'libempty-*' \
        -exec cp -t "$made/lib/rustlib/$target/lib" {} +
}

make_toolchain() {
    local work=$home/.work deb
    rm -rf "$work"
    mkdir -p "$work/debs" "$work/root"
    fetch_compiler "$work/debs"
    for deb in "$work"/debs/*.deb; do
        dpkg-deb -x "$deb" "$work/root"
    done
    lay_out "$work/root" "$work/toolchain"
    build_std "$work/toolchain" "$work"
    printf '%s %s\n' "$recipe" "$(dpkg-deb -f "$work"/debs/rustc-web_*.deb Version)" >"$work/toolchain/.stamp"
    rm -rf "$toolchain" "$home/.proven"
    mv "$work/toolchain" "$toolchain"
    rm -rf "$work"
}

make_prefix() {
    say 'making the Wine prefix'
    rm -rf "$prefix" "$home/.proven"
    # shellcheck source=ci/cargo-windows.sh
    (. "$ci/cargo-windows.sh"
    WINEPREFIX=$prefix wineboot-stable -i >/dev/null 2>&1
    WINEPREFIX=$prefix wineserver-stable -w)
    x86_64-w64-mingw32-gcc -Os -s -shared -nostartfiles -Wl,-e,0 "$ci/bcryptprimitives.c" -ladvapi32 \
        -o "$prefix/drive_c/windows/system32/bcryptprimitives.dll"
    echo "$recipe" >"$prefix/.stamp"
}

# Builds a program both ways of panicking and runs it.
prove() {
    local proof said
    proof=$(mktemp -d)
    cat >"$proof/proof.rs" <<'END'
fn main() { print!("{} {}", std::env::consts::OS, std::panic::catch_unwind(|| panic!()).is_err()) }
END
    local rustc=(env "LD_LIBRARY_PATH=$toolchain/lib" "$toolchain/bin/rustc")
    "${rustc[@]}" -O --target "$target" -Clinker=x86_64-w64-mingw32-gcc -Cpanic=abort \
        -o "$proof/abort.exe" "$proof/proof.rs"
    "${rustc[@]}" -O --target "$target" -Clinker=x86_64-w64-mingw32-gcc -o "$proof/unwind.exe" "$proof/proof.rs"
    said=$(WINEPREFIX=$prefix WINEDEBUG=-all "$ci/wine-run" "$proof/unwind.exe" 2>/dev/null) || true
    rm -rf "$proof"
    [ "$said" = 'windows true' ] || { say "a program built for Windows said '$said' under Wine"; return 1; }
    echo "$recipe" >"$home/.proven"
}

stamp_of() { cut -d' ' -f1 "$1" 2>/dev/null || true; }

# win32: Rust needs no threads of POSIX there. gcc links build scripts, which run on this machine.
install_packages gcc libc6-dev gcc-mingw-w64-x86-64-win32 wine wine64 util-linux
[ -x /usr/lib/wine/wine64 ] || { say 'there is no /usr/lib/wine/wine64: this is for Debian 12'; exit 1; }
[ "$(stamp_of "$toolchain/.stamp")" = "$recipe" ] || make_toolchain
if ! command -v rustup >/dev/null; then
    say "there is no rustup: use $toolchain/bin, with LD_LIBRARY_PATH=$toolchain/lib"
elif [ "$(readlink -f "$(rustup run "$name" rustc --print sysroot 2>/dev/null || true)")" != "$toolchain" ]; then
    rustup toolchain link "$name" "$toolchain" >&2
fi
[ "$(stamp_of "$prefix/.stamp")" = "$recipe" ] || make_prefix
[ "$(stamp_of "$home/.proven")" = "$recipe" ] || prove
say "ready: $(cut -d' ' -f2 "$toolchain/.stamp"), for $target"
