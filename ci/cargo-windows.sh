# Sourced: the environment in which cargo builds for Windows and runs what it has built under Wine.
#
#     . ci/cargo-windows.sh
#     "${win_cargo[@]}" test --target "$WIN_TARGET"
#
# With a toolchain of rustup's that knows the target, `cargo test --target "$WIN_TARGET"` does as well.
WIN_HOME=${WIN_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/windows-toolchain}
WIN_TOOLCHAIN=${WIN_TOOLCHAIN:-windows-cross}
WIN_TARGET=x86_64-pc-windows-gnu
win_ci=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=$win_ci/wine-run
export WINEPREFIX=$WIN_HOME/prefix WINEARCH=win64 WINEDEBUG=${WINEDEBUG:--all}
# No offers to install .NET or a browser, and nothing in this computer's menus.
export WINEDLLOVERRIDES='mscoree,mshtml=;winemenubuilder.exe=d'

# cargo for Windows, and cargo for this system. Without rustup the toolchain is used where it lies; it builds for both.
if command -v rustup >/dev/null; then
    win_cargo=(cargo "+$WIN_TOOLCHAIN")
    own_cargo=(cargo)
else
    win_cargo=(env "PATH=$WIN_HOME/toolchain/bin:$PATH" "LD_LIBRARY_PATH=$WIN_HOME/toolchain/lib" cargo)
    own_cargo=("${win_cargo[@]}")
fi
