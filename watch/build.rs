//! Puts icon, version and manifest into the program for Windows.

#[path = "../packaging/windows/resources.rs"]
mod resources;

use std::path::Path;
use std::{env, io};

fn main() -> io::Result<()> {
    let root = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    resources::put_in(&Path::new(&root).join("../packaging/windows"))
}
