//! Puts the scenario files into the program, so that `bench` works from anywhere and a new file needs no code; and
//! into the program for Windows its icon, version and manifest.

#[path = "packaging/windows/resources.rs"]
mod resources;

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    scenarios(Path::new(&root), Path::new(&out))?;
    resources::put_in(&Path::new(&root).join("packaging/windows"))
}

fn scenarios(root: &Path, out: &Path) -> io::Result<()> {
    println!("cargo::rerun-if-changed=scenarios");
    let mut files: Vec<_> = fs::read_dir(root.join("scenarios"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let mut code = "[\n".to_owned();
    for path in files {
        let name = path.file_name().unwrap_or_default();
        writeln!(code, "({name:?}, include_str!({path:?})),").map_err(io::Error::other)?;
    }
    code.push_str("]\n");
    fs::write(out.join("scenarios.rs"), code)
}
