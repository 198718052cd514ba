//! An environment of processes, light enough to have hundreds: the extension before a script of
//! Lambda's API, the shim, and a function of few megabytes with a real driver.
//!
//! The order is Lambda's: the function starts when the extension has registered, and is invoked
//! at once.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStdout;
use tokio::time::Instant;
use weir_kit::emulator::Addresses;
use weir_kit::process::{Process, Scratch};

use super::ScriptedApi;
use crate::paths::paths;
use crate::wait::{LIMIT, within};
use crate::weir::program_called;

/// The variable in which the function finds its string.
pub const VARIABLE: &str = "MONGO_AUTH_CREDENTIALS";
/// An invocation that is never cut off.
const INVOCATION: Duration = Duration::from_secs(600);

/// What environments are made of.
#[derive(Clone)]
pub struct Programs {
    extension: PathBuf,
    shim: PathBuf,
    function: PathBuf,
    scratch: Arc<Scratch>,
    /// For the extensions.
    addresses: Arc<Addresses>,
}

impl Programs {
    /// Finds or builds them.
    ///
    /// # Errors
    /// With cargo's own words when one does not compile.
    pub async fn find() -> Result<Self> {
        Ok(Self {
            extension: program_called("weir-extension").await?,
            shim: program_called("weir-shim").await?,
            function: program_called("weir-function").await?,
            scratch: Scratch::new(&paths().temporary, "weir-environments")?,
            addresses: Arc::new(Addresses::draw()?),
        })
    }
}

/// What one environment is started with.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// Its log stream, by which the shim knows it.
    pub name: String,
    /// The layer is attached.
    pub layer: bool,
    /// The variables of the function, and so of the extension.
    pub variables: BTreeMap<String, String>,
}

/// What the function said first, and when.
#[derive(Clone, Debug)]
pub struct First {
    /// Since the environment began to start.
    pub took: Duration,
    /// The host in its string.
    pub host: String,
    /// Its driver's error, if it had one.
    pub error: Option<String>,
}

/// A running environment; dropping it kills everything in it.
pub struct Environment {
    /// What the function said first.
    pub first: First,
    /// Where its extension listens.
    pub listen: Option<SocketAddr>,
    extension: Option<(ScriptedApi, Process)>,
    function: Process,
    // Its end is the function's.
    _input: ChildStdin,
    _output: BufReader<ChildStdout>,
}

impl Environment {
    /// Starts one, and waits for the result of its first invocation.
    ///
    /// # Errors
    /// When a process does not start, or says nothing. An error of the driver is a result.
    pub async fn start(programs: &Programs, setting: &Setting) -> Result<Self> {
        let began = Instant::now();
        let mut variables = setting.variables.clone();
        variables.insert("AWS_LAMBDA_FUNCTION_NAME".into(), "exam".into());
        variables.insert("AWS_LAMBDA_LOG_STREAM_NAME".into(), setting.name.clone());
        variables.insert("AWS_LAMBDA_RUNTIME_API".into(), "127.0.0.1:9001".into());
        let mut listen = None;
        let mut extension = None;
        if setting.layer {
            let address = programs.addresses.next()?;
            listen = Some(address);
            extension = Some(programs.attach(address, &mut variables).await?);
        }
        let mut command = match setting.layer {
            true => Command::new(&programs.shim),
            false => Command::new(&programs.function),
        };
        command.args(setting.layer.then_some(&programs.function));
        let function = programs.spawn(&mut command, &variables, "function")?;
        if let Some((api, _)) = &extension {
            api.invoke(&setting.name, INVOCATION);
        }
        let (input, output, _) = function.take_pipes();
        let mut output = BufReader::new(ChildStdout::from_std(output.context("no pipe")?)?);
        let mut line = String::new();
        within(
            "a function to answer",
            LIMIT * 4,
            output.read_line(&mut line),
        )
        .await??;
        let took = began.elapsed();
        let said: Value = serde_json::from_str(&line).with_context(|| programs.said("function"))?;
        let text = |key: &str| said.get(key).and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            first: First {
                took,
                host: text("host").unwrap_or_default(),
                error: text("error"),
            },
            listen,
            extension,
            function,
            _input: input.context("no pipe")?,
            _output: output,
        })
    }

    /// The function went to its extension.
    pub fn is_moved(&self) -> bool {
        self.listen
            .is_some_and(|listen| self.first.host == listen.to_string())
    }

    /// Memory of the function, in bytes, shared pages by their share.
    pub fn function_memory(&self) -> Option<u64> {
        proportional(self.function.id())
    }

    /// Memory of the extension.
    pub fn extension_memory(&self) -> Option<u64> {
        proportional(self.extension.as_ref()?.1.id())
    }
}

impl Programs {
    /// Starts the extension and waits until it has registered.
    async fn attach(
        &self,
        listen: SocketAddr,
        variables: &mut BTreeMap<String, String>,
    ) -> Result<(ScriptedApi, Process)> {
        variables.insert("WEIR_LISTEN".into(), listen.to_string());
        let api = ScriptedApi::start(&[])?;
        variables.insert("AWS_LAMBDA_RUNTIME_API".into(), api.address().to_string());
        let mut command = Command::new(&self.extension);
        let process = self.spawn(&mut command, variables, "extension")?;
        within("an extension to register", LIMIT * 2, api.asks())
            .await?
            .with_context(|| self.said("extension"))?;
        Ok((api, process))
    }

    fn spawn(
        &self,
        command: &mut Command,
        variables: &BTreeMap<String, String>,
        log: &str,
    ) -> Result<Process> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.scratch.path().join(log))?;
        command
            .env_clear()
            .envs(variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log);
        Ok(Process::spawn(command, &self.scratch)?)
    }

    /// The end of what all programs of that kind have logged.
    fn said(&self, log: &str) -> String {
        let text = fs::read_to_string(self.scratch.path().join(log)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// The proportional set size: of a page in several processes each has its part. So that the sum
/// over all of them is what they take.
fn proportional(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find(|line| line.starts_with("Pss:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
