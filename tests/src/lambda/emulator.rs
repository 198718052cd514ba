//! AWS's own emulator of a Lambda environment, with the real extension and shim in `/opt`.
//!
//! Each has name spaces of its own: of mounts, so that each has its own `/opt`, and of
//! processes, so that nothing of it outlives it. That takes root on Linux; elsewhere tests
//! are skipped, visibly.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use weir_kit::mongod::free_port;
use weir_kit::process::{Process, Scratch};

use super::function::Function;
use super::processes::{self, Found};
use super::quota::Quota;
use super::{http, parts};
use crate::paths::{blocking, paths};
use crate::skip::skip;
use crate::wait::{LIMIT, until, until_true};
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
if [ -n "$BOOTSTRAP" ]; then
  # On a Managed Instance the emulator looks for these, as on Lambda.
  mount -t tmpfs -o mode=755 none /var
  mkdir /var/task
  # It starts the program as another user, who may not look into the build's folder.
  install -m 755 "$PROGRAM" /opt/function
  printf '#!/bin/sh\nexec %s\n' "$BOOTSTRAP" >/opt/bootstrap
  chmod 755 /opt/bootstrap
fi
[ -z "$CPU_GROUP" ] || echo 0 >"$CPU_GROUP"
unset EXTENSION OTHER_EXTENSION SHIM BOOTSTRAP PROGRAM CPU_GROUP
exec "$@"
"#;

/// Where the layer has the shim.
const SHIM: &str = "/opt/weir-shim";

/// A running environment. Dropping it kills everything in it.
pub struct Emulator {
    process: Arc<Process>,
    address: SocketAddr,
    log: Log,
    /// Goes after everything that ran in it.
    quota: Option<Quota>,
}

impl Emulator {
    /// Starts an environment; its init begins with the first invocation, on a Managed Instance
    /// at once. `None`: this machine lacks something, which is counted as a skip.
    ///
    /// # Errors
    /// When the extension or the shim cannot be built, or the emulator does not listen.
    pub async fn start(function: Function) -> Result<Option<Self>> {
        let Some(emulator) = had().await? else {
            return Ok(None);
        };
        let extension = program_called("weir-extension").await?;
        let shim = program_called("weir-shim").await?;
        let quota = match function.cpu.map(Quota::new).transpose() {
            Ok(quota) => quota,
            Err(error) => {
                skip("functions with little CPU time", &error.to_string());
                return Ok(None);
            }
        };
        let programs = [emulator, extension, shim];
        let started = Self::spawn(&function, &programs, quota)?;
        until_true("the emulator to listen", LIMIT, || {
            std::net::TcpStream::connect(started.address).is_ok()
        })
        .await
        .with_context(|| started.log.text())?;
        Ok(Some(started))
    }

    fn spawn(function: &Function, programs: &[PathBuf; 3], quota: Option<Quota>) -> Result<Self> {
        let [emulator, ..] = programs;
        let scratch = Scratch::new(&paths().temporary, "weir-lambda")?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let runtime_api = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "--pid", "--fork"])
            .args(["--kill-child", "sh", "-c", ENVIRONMENT, "environment"])
            .arg(emulator)
            .args(["--runtime-interface-emulator-address", &address.to_string()])
            .args(["--runtime-api-address", &runtime_api.to_string()])
            .args(function.wrapped.then_some(SHIM))
            .args(&function.command)
            .env_clear()
            .envs(around(function, programs, quota.as_ref()))
            .envs(&function.variables)
            .current_dir(&function.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let process = Process::spawn(&mut command, &scratch)?;
        let log = Log::default();
        let (_, out, err) = process.take_pipes();
        log.follow(out)?;
        log.follow(err)?;
        Ok(Self {
            process: Arc::new(process),
            address,
            log,
            quota,
        })
    }

    /// The CPU time it was given, if that was little.
    pub fn quota(&self) -> Option<&Quota> {
        self.quota.as_ref()
    }

    /// Invokes the function and returns its answer; an error of the function is one too.
    ///
    /// # Errors
    /// When the emulator does not answer in JSON.
    pub async fn invoke(&self, event: Value) -> Result<Value> {
        http::invoke(self.address, "function", &event).await
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

/// What the environment is made of, and what Lambda sets in it.
fn around(
    function: &Function,
    [_, extension, shim]: &[PathBuf; 3],
    quota: Option<&Quota>,
) -> Vec<(&'static str, OsString)> {
    let mut all = vec![
        ("PATH", std::env::var_os("PATH").unwrap_or_default()),
        ("SHIM", shim.into()),
        ("AWS_LAMBDA_FUNCTION_NAME", "exam".into()),
        (
            "AWS_LAMBDA_FUNCTION_TIMEOUT",
            function.timeout.to_string().into(),
        ),
        ("LAMBDA_TASK_ROOT", function.folder.as_path().into()),
    ];
    if function.layer {
        all.push(("EXTENSION", extension.into()));
    }
    if let Some(other) = &function.other_extension {
        all.push(("OTHER_EXTENSION", other.into()));
    }
    if let Some((at_once, program)) = function.at_once.zip(function.command.first()) {
        all.push(("PROGRAM", program.into()));
        all.push(("BOOTSTRAP", format!("{SHIM} /opt/function").into()));
        all.push(("AWS_LAMBDA_MAX_CONCURRENCY", at_once.to_string().into()));
    }
    if let Some(quota) = quota {
        all.push(("CPU_GROUP", quota.door().into()));
    }
    all
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
