//! An invocation over HTTP, as both emulators take it.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wait::{LIMIT, within};

/// Invokes a function and returns its answer; what is no JSON becomes a string.
pub(super) async fn invoke(emulator: SocketAddr, name: &str, event: &Value) -> Result<Value> {
    let body = event.to_string();
    let request = format!(
        "POST /2015-03-31/functions/{name}/invocations HTTP/1.1\r\nHost: lambda\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut answer = Vec::new();
    within("an invocation", LIMIT * 2, async {
        let mut stream = TcpStream::connect(emulator).await?;
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
    Ok(serde_json::from_str(&body).unwrap_or(Value::String(body)))
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
