//! One GET over plain TCP, for commands that ask a running Weir on the same machine.
//!
//! HTTP/1.0 on purpose: the server then neither chunks its answer nor keeps the connection, and
//! the body is whatever comes until it closes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest answer taken, in bytes. A status of a thousand nodes is far below.
const MAX_ANSWER: u64 = 16 << 20;

/// An answer of the admin server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The HTTP status code.
    pub code: u16,
    /// The body.
    pub body: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// Nobody answers at that address, or the connection broke.
    #[error("{address} cannot be asked: {error}")]
    Io {
        /// Whom.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// It took too long.
    #[error("{address} gave no answer within {} ms", limit.as_millis())]
    Timeout {
        /// Whom.
        address: SocketAddr,
        /// The limit.
        limit: Duration,
    },
    /// Somebody answers, but not in HTTP.
    #[error("{address} does not speak HTTP")]
    NotHttp {
        /// Whom.
        address: SocketAddr,
    },
}

/// Asks `address` for `path`. An address that stands for "any" is asked on loopback.
///
/// # Errors
/// [`HttpError`] when there is no answer within `limit`; a code other than 200 is an answer.
pub(crate) async fn get(
    address: SocketAddr,
    path: &str,
    limit: Duration,
) -> Result<Answer, HttpError> {
    let address = reachable(address);
    let bytes = tokio::time::timeout(limit, exchange(address, path))
        .await
        .map_err(|_| HttpError::Timeout { address, limit })?
        .map_err(|error| HttpError::Io { address, error })?;
    parse(&bytes).ok_or(HttpError::NotHttp { address })
}

async fn exchange(address: SocketAddr, path: &str) -> io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    socket.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    Ok(answer)
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut words = head.split(' ');
    let code = words
        .next()
        .filter(|version| version.starts_with("HTTP/1."))
        .and_then(|_| words.next())?
        .get(..3)?
        .parse()
        .ok()?;
    Some(Answer {
        code,
        body: body.to_owned(),
    })
}

fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
pub(crate) mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Serves `answer` to one client and returns what it asked.
    pub(crate) async fn serve_once(
        answer: &'static str,
    ) -> (SocketAddr, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(socket.read_u8().await.unwrap());
            }
            socket.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(request).unwrap()
        });
        (address, task)
    }

    #[tokio::test]
    async fn reads_code_and_body() {
        let (address, asked) = serve_once("HTTP/1.1 503 No\r\na: b\r\n\r\n{\"a\":1}").await;
        let answer = get(address, "/status", Duration::from_secs(5))
            .await
            .unwrap();
        assert_eq!((answer.code, answer.body.as_str()), (503, "{\"a\":1}"));
        assert!(asked.await.unwrap().starts_with("GET /status HTTP/1.0\r\n"));
    }

    #[tokio::test]
    async fn tells_silence_refusal_and_nonsense_apart() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap();
        let error = get(address, "/", Duration::from_millis(50))
            .await
            .unwrap_err();
        assert!(matches!(error, HttpError::Timeout { .. }), "{error}");
        drop(silent);
        let error = get(address, "/", Duration::from_secs(5)).await.unwrap_err();
        assert!(matches!(error, HttpError::Io { .. }), "{error}");
        for nonsense in [
            "",
            "220 mail\r\n\r\n",
            "HTTP/1.1\r\n\r\n",
            "HTTP/1.1 20\r\n\r\n",
        ] {
            let (address, _asked) = serve_once(nonsense).await;
            let error = get(address, "/", Duration::from_secs(5)).await.unwrap_err();
            assert!(
                matches!(error, HttpError::NotHttp { .. }),
                "{nonsense:?}: {error}"
            );
        }
    }

    #[test]
    fn any_address_is_asked_on_loopback() {
        for (given, asked) in [
            ("0.0.0.0:9604", "127.0.0.1:9604"),
            ("[::]:9604", "[::1]:9604"),
            ("10.0.0.1:1", "10.0.0.1:1"),
        ] {
            assert_eq!(reachable(given.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
