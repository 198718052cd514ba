//! cargo-lambda's emulator, a second opinion: another program's idea of Lambda's Runtime and
//! Extensions API. Extension and function are started beside it, as its documents say.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use weir_kit::mongod::free_port;
use weir_kit::process::{Process, Scratch, Signal};

use super::function::Function;
use super::{http, parts};
use crate::paths::{blocking, paths};
use crate::skip::skip;
use crate::wait::{LIMIT, until, until_true};
use crate::weir::log::Log;
use crate::weir::program_called;

/// It wants to stand in a package, though it compiles none.
const PACKAGE: &str = "[package]\nname = \"exam\"\nversion = \"0.0.0\"\nedition = \"2024\"\n";

/// The name of the only function.
const FUNCTION: &str = "_";

/// The running emulator. Dropping it kills it.
pub struct CargoLambda {
    _process: Process,
    address: SocketAddr,
    log: Log,
}

impl CargoLambda {
    /// Starts it. `None`: it cannot be had on this machine, which is counted as a skip.
    ///
    /// # Errors
    /// When it does not listen.
    pub async fn start() -> Result<Option<Self>> {
        let program = match blocking(parts::cargo_lambda).await? {
            Ok(program) => program,
            Err(error) => {
                skip(
                    "functions under cargo-lambda's emulator",
                    &error.to_string(),
                );
                return Ok(None);
            }
        };
        let scratch = Scratch::new(&paths().temporary, "weir-cargo-lambda")?;
        fs::write(scratch.path().join("Cargo.toml"), PACKAGE)?;
        fs::create_dir(scratch.path().join("src"))?;
        fs::write(scratch.path().join("src/main.rs"), "fn main() {}")?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut command = Command::new(program);
        command
            .args(["lambda", "watch", "--ignore-changes", "--only-lambda-apis"])
            .args(["--invoke-address", &address.ip().to_string()])
            .args(["--invoke-port", &address.port().to_string()])
            .current_dir(scratch.path());
        let (process, log) = started(&mut command, &scratch)?;
        until_true("cargo-lambda to listen", LIMIT, || {
            std::net::TcpStream::connect(address).is_ok()
        })
        .await
        .with_context(|| log.text())?;
        Ok(Some(Self {
            _process: process,
            address,
            log,
        }))
    }

    /// For `AWS_LAMBDA_RUNTIME_API`.
    pub fn runtime_api(&self) -> String {
        format!("http://{}/.rt", self.address)
    }

    /// Starts a function beside it, through the shim, with these variables too.
    ///
    /// # Errors
    /// When the system or the shim refuses.
    pub async fn run(&self, function: &Function, more: &[(&str, &str)]) -> Result<Started> {
        let scratch = Scratch::new(&paths().temporary, "weir-function")?;
        let mut command = Command::new(program_called("weir-shim").await?);
        command
            .args(&function.command)
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", self.runtime_api())
            .env("AWS_LAMBDA_FUNCTION_NAME", FUNCTION)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .envs(&function.variables)
            .envs(more.iter().copied())
            .current_dir(&function.folder);
        let (process, log) = started(&mut command, &scratch)?;
        Ok(Started { process, log })
    }

    /// Invokes the function, which must not fail.
    ///
    /// # Errors
    /// What it said, and the emulator's log, when it does.
    pub async fn succeed(&self, event: Value) -> Result<Value> {
        let answer = http::invoke(self.address, FUNCTION, &event).await?;
        ensure!(answer.get("ms").is_some(), "{answer}\n{}", self.log.text());
        Ok(answer)
    }
}

/// A function that runs. Dropping it kills it.
pub struct Started {
    process: Process,
    log: Log,
}

impl Started {
    /// Waits for a line that contains `needle`.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn says(&self, needle: &str) -> Result<()> {
        until(&format!("a line with {needle:?}"), LIMIT, || async {
            let lines = self.log.lines();
            lines.iter().any(|line| line.contains(needle)).then_some(())
        })
        .await
        .with_context(|| self.log.text())
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(self.process.signal(signal)?)
    }
}

fn started(command: &mut Command, scratch: &Arc<Scratch>) -> Result<(Process, Log)> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let process = Process::spawn(command, scratch)?;
    let log = Log::default();
    let (_, out, err) = process.take_pipes();
    log.follow(out)?;
    log.follow(err)?;
    Ok((process, log))
}
