//! Receives events of Lambda's Telemetry API. Only one matters here: an invocation is over. The
//! extension subscribes only if a setting needs this event, because a subscription takes time in init.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Largest body of one request. The subscription asks Lambda for less than this.
const MOST_BYTES: usize = 1024 * 1024;

/// Knows which invocation ended last.
#[derive(Clone, Debug)]
pub(crate) struct Telemetry {
    over: watch::Receiver<Option<String>>,
}

impl Telemetry {
    /// Listens on the port to which Lambda will send events.
    ///
    /// # Errors
    /// When the extension cannot listen on the port.
    pub(crate) async fn listen(port: u16) -> io::Result<Self> {
        // Lambda does not connect over loopback.
        let listener = TcpListener::bind(("0.0.0.0", port)).await?;
        let (sender, over) = watch::channel(None);
        tokio::spawn(serve(listener, sender));
        Ok(Self { over })
    }

    /// Waits until this invocation is over.
    pub(crate) async fn over(&mut self, request: &str) {
        let is_this = |over: &Option<String>| over.as_deref() == Some(request);
        if self.over.wait_for(is_this).await.is_err() {
            // The receiving task has ended, so the report will never come. The caller has a deadline.
            std::future::pending::<()>().await;
        }
    }
}

async fn serve(listener: TcpListener, over: watch::Sender<Option<String>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let over = over.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| take(request, &over));
            let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            drop(served.await);
        });
    }
}

async fn take(
    request: Request<Incoming>,
    over: &watch::Sender<Option<String>>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let body = Limited::new(request.into_body(), MOST_BYTES);
    if let Ok(body) = body.collect().await
        && let Some(request) = finished(&body.to_bytes())
    {
        over.send_replace(Some(request));
    }
    Ok(Response::new(Empty::new()))
}

/// The invocation that a batch of events reports as over. If there are several, the last one.
fn finished(batch: &[u8]) -> Option<String> {
    let events: Value = serde_json::from_slice(batch).ok()?;
    let events = events.as_array()?.iter().rev();
    let mut done = events.filter(|event| {
        let kind = event.get("type").and_then(Value::as_str);
        kind == Some("platform.runtimeDone")
    });
    let request = done.next()?.get("record")?.get("requestId")?.as_str()?;
    Some(request.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_invocation_is_found() {
        let batch = br#"[
            {"time":"t","type":"platform.start","record":{"requestId":"r-1"}},
            {"time":"t","type":"platform.runtimeDone","record":{"requestId":"r-1","status":"success"}},
            {"time":"t","type":"function","record":"platform.runtimeDone"}
        ]"#;
        assert_eq!(finished(batch).as_deref(), Some("r-1"));
        assert_eq!(
            finished(br#"[{"type":"platform.start","record":{}}]"#),
            None
        );
        assert_eq!(finished(b"{}"), None);
        assert_eq!(finished(b"\xff"), None);
    }
}
