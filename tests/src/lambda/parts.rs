//! What the emulated environments are made of, from public registries; fetched once.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use weir_kit::parts::{download_wheel, once, step, take_from_wheel};

use crate::drivers::newest_version;
use crate::paths::paths;

/// AWS's runtime client for Java.
const JAVA_RUNTIME: &str = "2.9.0";

/// The wheel with cargo-lambda, and its checksum.
const CARGO_LAMBDA: (&str, &str) = (
    "cargo-lambda==1.9.2",
    "db2c0b1d53d7ed0055198fd045f641addc91b180b20d794fcf78cc9a9efacb38",
);

/// Where the functions in this language are written.
pub fn source(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("lambda/functions")
        .join(language)
}

/// AWS's emulator for this machine.
///
/// # Errors
/// The last line of what pip said.
pub fn emulator() -> io::Result<PathBuf> {
    weir_kit::emulator::fetch(&paths().parts())
}

/// `cargo-lambda`, whose `watch` is another emulator.
///
/// # Errors
/// The last line of what pip said; there is no wheel for some machines.
pub fn cargo_lambda() -> io::Result<PathBuf> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(io::Error::other(
            "its wheel is pinned for x86_64 Linux only",
        ));
    }
    let (requirement, sha256) = CARGO_LAMBDA;
    let place = once(&paths().parts(), "cargo-lambda-1.9.2", |scratch, ready| {
        download_wheel(requirement, sha256, scratch)?;
        let member = "cargo_lambda-1.9.2.data/scripts/cargo-lambda";
        take_from_wheel(scratch, member, &ready.join("cargo-lambda"))
    })?;
    Ok(place.join("cargo-lambda"))
}

/// A Python with AWS's runtime client and the newest driver.
///
/// # Errors
/// The last line of what pip said.
pub fn python() -> io::Result<PathBuf> {
    weir_kit::python::for_lambda(&paths().parts())
}

/// The newest Node driver, for `NODE_PATH`.
///
/// # Errors
/// The last line of what npm said.
pub fn node_modules() -> io::Result<PathBuf> {
    let driver = newest_version("node");
    let name = format!("lambda-node-mongodb-{driver}");
    let place = once(&paths().parts(), &name, |scratch, ready| {
        step(
            Command::new("npm")
                .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
                .arg(ready)
                .arg(format!("mongodb@{driver}")),
            scratch,
        )
    })?;
    Ok(place.join("node_modules"))
}

/// The class path of the Java function: its handler, the driver, AWS's runtime client.
///
/// # Errors
/// The last line of what Maven or the compiler said.
pub fn java_class_path() -> io::Result<String> {
    let (driver, runtime) = (newest_version("java"), JAVA_RUNTIME);
    let folder = source("java");
    let parts = paths().parts();
    let name = format!("lambda-java-{driver}-{runtime}");
    let jars = once(&parts, &name, |scratch, ready| {
        step(
            Command::new("mvn")
                .args(["--batch-mode", "--no-transfer-progress", "--quiet"])
                .arg("--file")
                .arg(folder.join("pom.xml"))
                .arg(format!("-Ddriver.version={driver}"))
                .arg(format!("-Druntime.version={runtime}"))
                .arg(format!("-Djars={}", ready.display()))
                .arg("dependency:copy-dependencies"),
            scratch,
        )
    })?;
    let jars = format!("{}/*", jars.display());
    let handler = folder.join("App.java");
    let mut hash = DefaultHasher::new();
    fs::read(&handler)?.hash(&mut hash);
    let name = format!("{name}-function-{:016x}", hash.finish());
    let classes = once(&parts, &name, |scratch, ready| {
        let mut compiler = Command::new("javac");
        compiler.arg("-d").arg(ready).args(["-cp", &jars]);
        step(compiler.arg(&handler), scratch)
    })?;
    Ok(format!("{}:{jars}", classes.display()))
}
