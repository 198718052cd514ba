//! AWS's own emulator of a Lambda environment, with the real extension and shim in `/opt`.
//!
//! Each has name spaces of its own: of mounts, so that each has its own `/opt`, and of
//! processes, so that nothing of it outlives it. That takes root on Linux; elsewhere tests
//! are skipped, visibly.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir::demo::mongod::free_port;
use weir::demo::process::{Process, Scratch};

use super::parts;
use super::processes::{self, Found};
use crate::skip::skip;
use crate::surroundings::{blocking, surroundings};
use crate::wait::{LIMIT, until, until_true, within};
use crate::weir::log::Log;
use crate::weir::program_called;

/// Builds the environment's `/opt` as a layer does, then becomes the emulator.
const ENVIRONMENT: &str = r#"
set -e
mount -t tmpfs -o mode=755 none /opt
mkdir /opt/extensions
[ -z "$EXTENSION" ] || install -m 755 "$EXTENSION" /opt/extensions/weir-extension
[ -z "$OTHER_EXTENSION" ] || install -m 755 "$OTHER_EXTENSION" /opt/extensions/other
install -m 755 "$SHIM" /opt/weir-shim
unset EXTENSION OTHER_EXTENSION SHIM
exec "$@"
"#;

/// A function and what is around it.
#[derive(Clone, Debug)]
pub struct Function {
    /// What Lambda starts: the interpreter and its arguments.
    pub command: Vec<String>,
    /// Where it runs.
    pub folder: PathBuf,
    /// Its variables.
    pub variables: BTreeMap<String, String>,
    /// Seconds after which it is cut off.
    pub timeout: u32,
    /// The layer is attached.
    pub layer: bool,
    /// The shim stands before it, as `AWS_LAMBDA_EXEC_WRAPPER`.
    pub wrapped: bool,
    /// Another extension in the same environment.
    pub other_extension: Option<PathBuf>,
}

impl Function {
    /// A function with the layer and the shim.
    pub fn new(command: &[&str], folder: &Path) -> Self {
        Self {
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            folder: folder.to_owned(),
            variables: BTreeMap::new(),
            timeout: 10,
            layer: true,
            wrapped: true,
            other_extension: None,
        }
    }

    /// Sets a variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets the timeout, in seconds.
    #[must_use]
    pub fn cut_off_after(mut self, seconds: u32) -> Self {
        self.timeout = seconds;
        self
    }
}

/// A running environment. Dropping it kills everything in it.
pub struct Emulator {
    process: Arc<Process>,
    address: SocketAddr,
    log: Log,
}

impl Emulator {
    /// Starts an environment; its init begins with the first invocation. `None`: there is no
    /// emulator on this machine, which is counted as a skip.
    ///
    /// # Errors
    /// When the extension or the shim cannot be built, or the emulator does not listen.
    pub async fn start(function: Function) -> Result<Option<Self>> {
        let Some(emulator) = had().await? else {
            return Ok(None);
        };
        let extension = program_called("weir-extension").await?;
        let shim = program_called("weir-shim").await?;
        let started = Self::spawn(&function, &emulator, &extension, &shim)?;
        until_true("the emulator to listen", LIMIT, || {
            std::net::TcpStream::connect(started.address).is_ok()
        })
        .await
        .with_context(|| started.log.text())?;
        Ok(Some(started))
    }

    fn spawn(function: &Function, emulator: &Path, extension: &Path, shim: &Path) -> Result<Self> {
        let scratch = Scratch::new(&surroundings().temporary, "weir-lambda")?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let runtime_api = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "--pid", "--fork"])
            .args(["--kill-child", "sh", "-c", ENVIRONMENT, "environment"])
            .arg(emulator)
            .args(["--runtime-interface-emulator-address", &address.to_string()])
            .args(["--runtime-api-address", &runtime_api.to_string()])
            .args(function.wrapped.then_some("/opt/weir-shim"))
            .args(&function.command)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("SHIM", shim)
            .env("AWS_LAMBDA_FUNCTION_NAME", "exam")
            .env("AWS_LAMBDA_FUNCTION_TIMEOUT", function.timeout.to_string())
            .env("LAMBDA_TASK_ROOT", &function.folder)
            .current_dir(&function.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if function.layer {
            command.env("EXTENSION", extension);
        }
        if let Some(other) = &function.other_extension {
            command.env("OTHER_EXTENSION", other);
        }
        command.envs(&function.variables);
        let process = Process::spawn(&mut command, &scratch)?;
        let log = Log::default();
        let (_, out, err) = process.take_pipes();
        log.follow(out)?;
        log.follow(err)?;
        Ok(Self {
            process: Arc::new(process),
            address,
            log,
        })
    }

    /// Invokes the function and returns its answer; an error of the function is one too.
    ///
    /// # Errors
    /// When the emulator does not answer in JSON.
    pub async fn invoke(&self, event: Value) -> Result<Value> {
        let body = event.to_string();
        let request = format!(
            "POST /2015-03-31/functions/function/invocations HTTP/1.1\r\nHost: lambda\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let mut answer = Vec::new();
        within("an invocation", LIMIT * 2, async {
            let mut stream = TcpStream::connect(self.address).await?;
            stream.write_all(request.as_bytes()).await?;
            stream.read_to_end(&mut answer).await
        })
        .await??;
        let answer = String::from_utf8(answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
        let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
        let body = if chunked {
            unchunked(body)
        } else {
            body.to_owned()
        };
        serde_json::from_str(&body)
            .or_else(|_| Ok(Value::String(body.clone())))
            .map_err(|error: serde_json::Error| error.into())
    }

    /// Invokes the function, which must not fail.
    ///
    /// # Errors
    /// What it said, and the log, when it does.
    pub async fn succeed(&self, event: Value) -> Result<Value> {
        let answer = self.invoke(event).await?;
        ensure!(answer.get("ms").is_some(), "{answer}\n{}", self.log.text());
        Ok(answer)
    }

    /// Everything the environment has logged so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// The log lines of the extension.
    pub fn extension_log(&self) -> Vec<Value> {
        let lines = self.log.lines();
        let read = lines.iter().filter_map(|line| {
            let line = line.get(line.find('{')?..)?;
            serde_json::from_str::<Value>(line).ok()
        });
        read.filter(|line| line.get("logger").is_some()).collect()
    }

    /// Waits for a log line that contains `needle`.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn says(&self, needle: &str) -> Result<String> {
        until(&format!("a log line with {needle:?}"), LIMIT, || async {
            self.log
                .lines()
                .into_iter()
                .find(|line| line.contains(needle))
        })
        .await
        .with_context(|| self.log.text())
    }

    /// The processes in it, but for the emulator.
    ///
    /// # Errors
    /// When the system will not say.
    pub fn processes(&self) -> Result<Vec<Found>> {
        let emulator = self.emulator()?;
        processes::below(emulator)
    }

    fn emulator(&self) -> Result<u32> {
        let children = processes::children(self.process.id())?;
        children.first().copied().context("the emulator is gone")
    }

    /// SIGSTOP for all processes but the emulator, as a freeze.
    ///
    /// # Errors
    /// When there is nothing to freeze.
    pub async fn freeze(&self) -> Result<()> {
        let found = self.processes()?;
        ensure!(!found.is_empty(), "nothing runs\n{}", self.log.text());
        for process in &found {
            process.signal("STOP")?;
        }
        until_true("everything to be frozen", LIMIT, || {
            found.iter().all(|process| process.is_frozen())
        })
        .await
    }

    /// SIGCONT for all of them.
    ///
    /// # Errors
    /// When one is gone.
    pub fn thaw(&self) -> Result<()> {
        self.processes()?
            .iter()
            .try_for_each(|process| process.signal("CONT"))
    }

    /// SIGTERM to the emulator: Lambda ends the environment. Waits for its end.
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub async fn terminate(&self, limit: Duration) -> Result<()> {
        processes::signal(self.emulator()?, "TERM")?;
        let process = Arc::clone(&self.process);
        let ended = blocking(move || process.wait(limit)).await??;
        ended
            .map(drop)
            .with_context(|| format!("it still runs after {limit:?}\n{}", self.log.text()))
    }
}

/// Whether environments can be emulated here; if not, that is counted as a skip.
///
/// # Errors
/// When the machine cannot be asked.
pub async fn can_be_had() -> Result<bool> {
    Ok(had().await?.is_some())
}

/// The emulator; `None`, and a skip: there is none, or no name spaces to run it in.
async fn had() -> Result<Option<PathBuf>> {
    let emulator = match blocking(can_isolate).await? {
        Ok(()) => blocking(parts::emulator).await?.map_err(|e| e.to_string()),
        Err(why) => Err(why),
    };
    match emulator {
        Ok(emulator) => Ok(Some(emulator)),
        Err(why) => {
            skip("functions under AWS's emulator", &why);
            Ok(None)
        }
    }
}

/// Joins the chunks of a body.
fn unchunked(body: &str) -> String {
    let mut rest = body;
    let mut whole = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        match (size, after.get(..size)) {
            (0, _) | (_, None) => break,
            (_, Some(chunk)) => whole.push_str(chunk),
        }
        rest = after
            .get(size..)
            .unwrap_or_default()
            .trim_start_matches("\r\n");
    }
    whole
}

/// Whether this machine lets us have name spaces of our own.
fn can_isolate() -> Result<(), String> {
    let tried = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--pid", "--fork"])
        .args(["sh", "-c", "mount -t tmpfs none /opt"])
        .stdin(Stdio::null())
        .output();
    match tried {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("unshare: {error}")),
    }
}
