//! A running `weir` program and its logs.
//!
//! The program is built once per test process, with the profile the tests were
//! built with. `$WEIR_BINARY` names another one.

use std::collections::VecDeque;
use std::env;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use weir::demo::mongod::free_port;
use weir::demo::process::{Process, Scratch, Signal};

use crate::surroundings::{blocking, surroundings};
use crate::wait::{LIMIT, until, within};

/// How many log lines are kept for looking at.
const KEPT_LINES: usize = 20_000;

/// The `weir` program, built if need be.
///
/// # Errors
/// With cargo's own words when it does not compile.
pub async fn program() -> Result<&'static Path> {
    static PROGRAM: OnceCell<PathBuf> = OnceCell::const_new();
    let path = PROGRAM.get_or_try_init(|| async { blocking(build).await? });
    Ok(path.await?.as_path())
}

fn build() -> Result<PathBuf> {
    if let Some(given) = env::var_os("WEIR_BINARY") {
        let given = PathBuf::from(given);
        ensure!(
            given.is_file(),
            "WEIR_BINARY names {}, which is not a file",
            given.display()
        );
        return Ok(given);
    }
    // <target>/<profile>/deps/<this test>
    let test = env::current_exe()?;
    let folder = test
        .ancestors()
        .nth(2)
        .context("a test outside a target folder")?;
    let program = folder.join("weir");
    // `cargo test --workspace` has built it already, with the features of the tests;
    // building it alone would compile half of its dependencies again.
    if is_fresh(&program) {
        return Ok(program);
    }
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--quiet",
            "--package",
            "weir",
            "--bin",
            "weir",
            "--profile",
            profile,
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(program)
}

/// Whether the program is newer than every source it is made of.
fn is_fresh(program: &Path) -> bool {
    let built = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    let Some(made) = built(program) else {
        return false;
    };
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../proxy/src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if built(&path).is_none_or(|changed| changed > made) {
                return false;
            }
        }
    }
    true
}

/// A process to be.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    upstream: Option<String>,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    unix: bool,
}

impl Builder {
    /// `--upstream`.
    #[must_use]
    pub fn upstream(mut self, uri: impl Into<String>) -> Self {
        self.upstream = Some(uri.into());
        self
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl ToString) -> Self {
        self.arguments.push(argument.to_string());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// An environment variable. The test's own `WEIR_*` are not passed on.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Listens on a unix socket too, see [`WeirProcess::unix_socket`].
    #[must_use]
    pub fn unix(mut self) -> Self {
        self.unix = true;
        self
    }

    /// Starts it and waits until its admin address says it is ready.
    ///
    /// # Errors
    /// With its log when it ends instead.
    pub async fn start(self) -> Result<WeirProcess> {
        let weir = self.launch().await?;
        weir.ready().await?;
        Ok(weir)
    }

    /// Starts it without waiting: for one that shall not get ready.
    ///
    /// # Errors
    /// When the program cannot be built or started.
    pub async fn launch(self) -> Result<WeirProcess> {
        let program = program().await?;
        let scratch = Scratch::new(&surroundings().temporary, "weir-proxy")?;
        let listen = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let admin = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut command = Command::new(program);
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("WEIR_") {
                command.env_remove(name);
            }
        }
        command
            .arg("serve")
            .args(["--listen", &listen.to_string()])
            .args(["--admin", &admin.to_string()])
            .args(["--log-format", "json"])
            .envs(self.variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let unix_socket = scratch.path().join("weir.sock");
        if self.unix {
            command
                .arg("--listen")
                .arg(format!("unix:{}", unix_socket.display()));
        }
        if let Some(upstream) = &self.upstream {
            command.args(["--upstream", upstream]);
        }
        command.args(self.arguments);
        let process = Process::spawn(&mut command, &scratch)?;
        let log = Log::default();
        let (_, out, err) = process.take_pipes();
        log.follow(out)?;
        log.follow(err)?;
        Ok(WeirProcess {
            process: Arc::new(process),
            listen,
            admin,
            unix_socket,
            log,
        })
    }
}

/// A running Weir. Dropping it kills it.
pub struct WeirProcess {
    process: Arc<Process>,
    listen: SocketAddr,
    admin: SocketAddr,
    unix_socket: PathBuf,
    log: Log,
}

impl WeirProcess {
    /// What to start.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// The admin address.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// The unix socket of one built with [`Builder::unix`].
    pub fn unix_socket(&self) -> &Path {
        &self.unix_socket
    }

    /// The client's string. `options` go after the question mark.
    pub fn uri(&self, options: &str) -> String {
        format!("mongodb://{}/?{options}", self.listen)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// With its log when it ends instead, or takes too long.
    pub async fn ready(&self) -> Result<()> {
        let answer = until("weir to be ready", LIMIT, || async {
            match self.process.ended() {
                Ok(None) => self.get("/ready").await.is_ok().then_some(Ok(())),
                ended => Some(Err(ended)),
            }
        });
        match answer.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(ended)) => bail!("weir ended: {ended:?}\n{}", self.log.text()),
            Err(error) => bail!("{error}\n{}", self.log.text()),
        }
    }

    /// The body of an admin page.
    ///
    /// # Errors
    /// When the answer is not 200.
    pub async fn get(&self, path: &str) -> Result<String> {
        let (status, body) = self.get_any(path).await?;
        ensure!(status == 200, "{path}: {status} {body}");
        Ok(body)
    }

    /// Status and body of an admin page.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get_any(&self, path: &str) -> Result<(u16, String)> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n");
        let mut answer = Vec::new();
        within("an admin page", LIMIT, async {
            let mut stream = TcpStream::connect(self.admin).await?;
            stream.write_all(request.as_bytes()).await?;
            stream.read_to_end(&mut answer).await
        })
        .await??;
        let answer = String::from_utf8(answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
        let status = head.split(' ').nth(1).context("no HTTP status")?;
        Ok((status.parse()?, body.to_owned()))
    }

    /// `/status`.
    ///
    /// # Errors
    /// When it is not JSON.
    pub async fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.get("/status").await?)?)
    }

    /// The sum of a metric's samples whose labels contain all of `labels`
    /// (written as in the exposition: `state="idle"`); 0 when there are none.
    ///
    /// # Errors
    /// When the metrics cannot be read.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> Result<f64> {
        let text = self.get("/metrics").await?;
        let samples = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (metric, its_labels) = series.split_once('{').unwrap_or((series, ""));
            let wanted = metric == name && labels.iter().all(|label| its_labels.contains(label));
            wanted.then(|| value.parse::<f64>().ok()).flatten()
        });
        Ok(samples.sum())
    }

    /// Its log lines so far, the oldest of very many left out.
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// Waits for a log line that contains `needle`.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn wait_for_log(&self, needle: &str) -> Result<String> {
        until(&format!("a log line with {needle:?}"), LIMIT, || async {
            self.log().into_iter().find(|line| line.contains(needle))
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

    /// Waits for its end.
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub async fn wait(&self, limit: Duration) -> Result<ExitStatus> {
        let process = Arc::clone(&self.process);
        let status = blocking(move || process.wait(limit)).await??;
        status.with_context(|| format!("weir still runs after {limit:?}"))
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub async fn stop(&self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::Terminate)?;
        self.wait(limit).await
    }
}

/// Lines of both streams, in the order in which they came.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    fn follow(&self, stream: Option<impl Read + Send + 'static>) -> Result<()> {
        let log = self.clone();
        let stream = stream.context("no pipe")?;
        std::thread::Builder::new()
            .name("weir log".into())
            .spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let mut lines = log.0.lock().unwrap_or_else(PoisonError::into_inner);
                    if lines.len() == KEPT_LINES {
                        lines.pop_front();
                    }
                    lines.push_back(line);
                }
            })?;
        Ok(())
    }

    fn lines(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }

    fn text(&self) -> String {
        self.lines().join("\n")
    }
}
