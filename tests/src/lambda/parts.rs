//! What the emulated environments are made of, from public registries; fetched once.

use std::io;
use std::path::PathBuf;
use std::process::Command;

use weir::demo::parts::{once, step};

use crate::surroundings::surroundings;

/// AWS's emulator for this machine.
///
/// # Errors
/// The last line of what pip said.
pub fn emulator() -> io::Result<PathBuf> {
    weir::demo::emulator::fetch(&surroundings().parts())
}

/// A Python with AWS's runtime client and the newest driver.
///
/// # Errors
/// The last line of what pip said.
pub fn python() -> io::Result<PathBuf> {
    weir::demo::python::for_lambda(&surroundings().parts())
}

/// The newest Node driver, for `NODE_PATH`.
///
/// # Errors
/// The last line of what npm said.
pub fn node_modules() -> io::Result<PathBuf> {
    let place = once(
        &surroundings().parts(),
        "lambda-node-mongodb-7.8.0",
        |scratch, ready| {
            step(
                Command::new("npm")
                    .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
                    .arg(ready)
                    .arg("mongodb@7.8.0"),
                scratch,
            )
        },
    )?;
    Ok(place.join("node_modules"))
}
