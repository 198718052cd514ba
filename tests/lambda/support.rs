//! What several subjects need.

use std::time::Duration;

use anyhow::{Result, ensure};
use bson::{Document, doc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_kit::process::Signal;
use weir_tests::cluster::Cluster;
use weir_tests::lambda::{Extension, ScriptedApi};
use weir_tests::raw::Raw;
use weir_tests::relay::{Counts, Relay};
use weir_tests::wait::{LIMIT, until_true};
use weir_tests::weir::WeirProcess;

/// Longer than any test lasts.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// At the end of an environment, from SHUTDOWN to exit.
pub(crate) const AT_ONCE: Duration = Duration::from_millis(300);

/// An extension before a fresh API.
pub(crate) async fn extension(variables: &[(&str, &str)]) -> Result<(ScriptedApi, Extension)> {
    let api = ScriptedApi::start(&[])?;
    let extension = Extension::start(&api, variables).await?;
    api.is_asked().await?;
    Ok((api, extension))
}

/// An insert as a driver sends it: it may be retried.
pub(crate) fn insert(collection: &str, by: &str) -> Document {
    doc! { "insert": collection, "documents": [{ "by": by }] }
}

/// Runs a command that must succeed.
pub(crate) async fn works(function: &mut Raw, command: Document) -> Result<Document> {
    let reply = function.command("lambda", command).await?;
    ensure!(reply.get_f64("ok").ok() == Some(1.0), "{reply}");
    Ok(reply)
}

/// Tells of the end and checks how it comes.
pub(crate) async fn ends_well(api: &ScriptedApi, extension: &Extension) -> Result<Duration> {
    let told = std::time::Instant::now();
    api.shut_down("spindown");
    let status = extension.ends(LONG).await?;
    let took = told.elapsed();
    ensure!(status.success(), "{status}");
    Ok(took)
}

/// Connections unused for so long are doubted here; in earnest it is ten seconds.
pub(crate) const DOUBT: &str = "300ms";
const DOUBT_TIME: Duration = Duration::from_millis(300);

/// A frozen environment, as long as a connection is trusted and a little longer.
pub(crate) async fn freeze(extension: &Extension) -> Result<()> {
    extension.signal(Signal::Stop)?;
    let pid = extension.pid();
    until_true("the extension to be frozen", LIMIT, || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with('T'))
    })
    .await?;
    // The freeze itself is what is tested, not something waited for.
    let began = std::time::Instant::now();
    until_true("the freeze to last", LIMIT, || began.elapsed() > DOUBT_TIME).await
}

/// Wakes the extension and invokes at the same moment, as Lambda does.
pub(crate) fn thaw(api: &ScriptedApi, extension: &Extension, id: &str) -> Result<()> {
    api.invoke(id, LONG);
    extension.signal(Signal::Continue)
}

/// Tells the extension something, as Lambda's Telemetry API does.
pub(crate) async fn post(port: u16, body: &str) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let length = body.len();
    let head = format!("POST / HTTP/1.1\r\nHost: sandbox\r\nContent-Length: {length}\r\n");
    let request = format!("{head}Connection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(())
}

/// A shared Weir behind a relay, which counts and hurts.
pub(crate) struct Service {
    _weir: WeirProcess,
    pub(crate) relay: Relay,
}

impl Service {
    pub(crate) async fn before(cluster: &Cluster) -> Result<Self> {
        Self::with(&cluster.uri()).await
    }

    /// One with this `WEIR_UPSTREAM`.
    pub(crate) async fn with(upstream: &str) -> Result<Self> {
        let weir = WeirProcess::builder().upstream(upstream).start().await?;
        let relay = Relay::start(weir.address())?;
        Ok(Self { _weir: weir, relay })
    }

    /// Another Weir takes its place, at the same address.
    pub(crate) async fn replaced(self, upstream: &str) -> Result<Self> {
        let weir = WeirProcess::builder().upstream(upstream).start().await?;
        let address = self.relay.address();
        drop(self);
        let relay = Relay::start_on(address, weir.address())?;
        Ok(Self { _weir: weir, relay })
    }

    /// What went through the relay so far.
    pub(crate) fn counts(&self) -> Counts {
        self.relay.counts()
    }

    /// What `WEIR_SERVICE` says.
    pub(crate) fn name(&self) -> String {
        self.relay.address().to_string()
    }
}
