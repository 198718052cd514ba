//! One Lambda environment: AWS's emulator, the function, and the layer where it is attached.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::DemoError;
use weir_kit::emulator::{Addresses, Isolation};
use weir_kit::process::{Process, Scratch};

/// Puts the layer into place, then becomes the emulator.
const BEGIN: &str = r#"mount --bind "$LAYER" /opt && unset LAYER && exec "$@""#;

/// What all environments of a phase are made of.
#[derive(Clone, Debug)]
pub(crate) struct Kit {
    /// How they are kept apart.
    pub(crate) isolation: Isolation,
    /// AWS's emulator.
    pub(crate) emulator: PathBuf,
    /// The interpreter, with driver and runtime client.
    pub(crate) python: PathBuf,
    /// The folder with the function.
    pub(crate) code: PathBuf,
    /// What lies in `/opt`: the layer, or nothing.
    pub(crate) layer: PathBuf,
}

/// The settings of one function.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    /// Its own connection string.
    pub(crate) uri: String,
    /// The database with the quiz.
    pub(crate) database: String,
    /// Seconds after which Lambda cuts it off.
    pub(crate) timeout: u64,
    /// The shared Weir, where the layer is attached.
    pub(crate) service: Option<SocketAddr>,
}

/// A running environment; everything in it ends when it is dropped, which blocks shortly.
#[derive(Debug)]
pub(super) struct Environment {
    _process: Process,
    address: SocketAddr,
    /// Where the function's driver is to connect.
    extension: Option<SocketAddr>,
}

impl Environment {
    /// Starts one without waiting; extension and function start with the first invocation.
    ///
    /// # Errors
    /// The system refuses ports or the process.
    pub(super) fn spawn(
        kit: &Kit,
        configuration: &Configuration,
        addresses: &Addresses,
        scratch: &Arc<Scratch>,
    ) -> Result<Self, DemoError> {
        let (address, api) = (addresses.next()?, addresses.next()?);
        let mut command = kit.isolation.command();
        command
            .args(["sh", "-c", BEGIN, "environment"])
            .arg(&kit.emulator)
            .args(["--runtime-interface-emulator-address", &address.to_string()])
            .args(["--runtime-api-address", &api.to_string()])
            .args(configuration.service.map(|_| "/opt/weir-shim"))
            .arg(&kit.python)
            .args(["-m", "awslambdaric", "app.handler"]);
        surround(&mut command, kit, configuration);
        let extension = match configuration.service {
            None => None,
            Some(service) => {
                let listen = addresses.next()?;
                command
                    .env("WEIR_SERVICE", service.to_string())
                    .env("WEIR_LISTEN", listen.to_string());
                Some(listen)
            }
        };
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log_in(scratch.path()))?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(Self {
            _process: Process::spawn(&mut command, scratch)?,
            address,
            extension,
        })
    }

    /// Whether it takes invocations.
    pub(super) fn listens(&self) -> bool {
        std::net::TcpStream::connect(self.address).is_ok()
    }

    /// Whether a driver that knows these hosts is where it should be.
    pub(super) fn is_served_by_extension(&self, hosts: &[String]) -> bool {
        self.extension
            .is_none_or(|extension| hosts == [extension.to_string()])
    }

    /// Invokes the function and returns its answer. The emulator takes one invocation at a time.
    ///
    /// # Errors
    /// When there is no answer in JSON.
    pub(super) async fn invoke(&self, event: &Value) -> std::io::Result<Value> {
        let body = event.to_string();
        // The older version: the answer comes in one piece, and ends with the connection.
        let request = format!(
            "POST /2015-03-31/functions/function/invocations HTTP/1.0\r\nContent-Length: {}\r\n\
             \r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Ok(serde_json::from_str(body)?)
    }
}

/// What all environments say goes here.
pub(super) fn log_in(folder: &Path) -> PathBuf {
    folder.join("environments.log")
}

/// The variables of the function and of Lambda, and no others.
fn surround(command: &mut Command, kit: &Kit, configuration: &Configuration) {
    command
        .env_clear()
        // For `sh`, `mount` and the programs of the emulator.
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        .env("LAYER", &kit.layer)
        .env("LAMBDA_TASK_ROOT", &kit.code)
        .env("AWS_LAMBDA_FUNCTION_NAME", "exam")
        .env(
            "AWS_LAMBDA_FUNCTION_TIMEOUT",
            configuration.timeout.to_string(),
        )
        .env("MONGO_AUTH_CREDENTIALS", &configuration.uri)
        .env("QUIZ_DATABASE", &configuration.database)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(&kit.code);
}
