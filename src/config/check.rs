//! `dantetimesync check-config`.

use std::process::ExitCode;

use super::file::{self, FileError};
use super::{Settings, default_file};
use crate::cli::CheckConfig;
use crate::exit::{CONFIG, Failure};

/// Reads the file as the service would, and prints what is wrong with it.
///
/// # Errors
/// When there is no such file, or it cannot be read.
pub fn run(options: &CheckConfig) -> Result<ExitCode, Failure> {
    let path = options.file.clone().unwrap_or_else(default_file);
    let checked = file::read(&path).and_then(|choices| Ok(Settings::checked(&choices)?));
    match checked {
        Ok(_) => {
            crate::exit::print(&format!("{}: ok\n", path.display()))?;
            Ok(ExitCode::SUCCESS)
        }
        // Nothing else on these lines, so that editors find the place.
        Err(FileError::Faulty(faults)) => {
            complain_line!("{faults}");
            Ok(ExitCode::from(CONFIG))
        }
        Err(error) => Err(error.into()),
    }
}
