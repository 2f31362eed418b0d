//! Icon, version and manifest of the programs for Windows: a part of the build scripts of both.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// By the resource compiler of mingw-w64, which whoever links for Windows has. A program without them works as well.
///
/// # Errors
/// When the compiler's input cannot be written.
pub fn put_in(from: &Path) -> io::Result<()> {
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system != "windows") {
        return Ok(());
    }
    println!("cargo::rerun-if-changed={}", from.display());
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    let name = env::var("CARGO_PKG_NAME").map_err(io::Error::other)?;
    let [major, minor, patch] = ["MAJOR", "MINOR", "PATCH"]
        .map(|part| env::var(format!("CARGO_PKG_VERSION_{part}")).unwrap_or_else(|_| "0".to_owned()));
    let description = env::var("CARGO_PKG_DESCRIPTION").unwrap_or_default();
    let strings = [
        ("FileDescription", description.as_str()),
        ("ProductName", "dantetimesync"),
        ("OriginalFilename", &format!("{name}.exe")),
        ("LegalCopyright", "MIT licence"),
        ("FileVersion", &format!("{major}.{minor}.{patch}")),
        ("ProductVersion", &format!("{major}.{minor}.{patch}")),
    ];
    let mut text = format!(
        "1 ICON \"dantetimesync.ico\"\n1 24 \"dantetimesync.manifest\"\n1 VERSIONINFO\n\
         FILEVERSION {major},{minor},{patch},0\nPRODUCTVERSION {major},{minor},{patch},0\n\
         FILEOS 0x40004\nFILETYPE 1\nBEGIN\nBLOCK \"StringFileInfo\"\nBEGIN\nBLOCK \"040904b0\"\nBEGIN\n"
    );
    for (name, value) in strings {
        // A quotation mark in a string of this language is two.
        writeln!(text, "VALUE \"{name}\", \"{}\"", value.replace('"', "\"\"")).map_err(io::Error::other)?;
    }
    text.push_str("END\nEND\nBLOCK \"VarFileInfo\"\nBEGIN\nVALUE \"Translation\", 0x409, 1200\nEND\nEND\n");
    let (script, object) = (out.join("dantetimesync.rc"), out.join("resources.o"));
    fs::write(&script, text)?;
    let done = Command::new("x86_64-w64-mingw32-windres")
        .current_dir(from)
        .args([script.as_os_str(), "-O".as_ref(), "coff".as_ref(), "-o".as_ref(), object.as_os_str()])
        .status();
    match done {
        Ok(status) if status.success() => println!("cargo::rustc-link-arg-bins={}", object.display()),
        _ => println!("cargo::warning=no x86_64-w64-mingw32-windres: the program has no icon and no version"),
    }
    Ok(())
}
