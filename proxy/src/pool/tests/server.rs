//! A server on loopback that answers everything with `ok: 1`, and misbehaves on demand.

use std::sync::Arc;

use bson::{RawDocument, rawdoc};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{
    topology::NodeAddress,
    wire::{Header, OpMsg, header::MAX_MESSAGE_LEN, reply},
};

/// How the server behaves now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mood {
    /// Hello is not answered.
    pub(super) deaf: bool,
    /// Hello is answered with an error.
    pub(super) unfriendly: bool,
    /// Nothing but hello is answered.
    pub(super) slow: bool,
    /// A connection whose client has left is kept.
    pub(super) clinging: bool,
    /// Counts up: all connections are closed.
    pub(super) closings: u32,
    /// Counts up: one byte is sent to everybody.
    pub(super) noises: u32,
}

/// Connections as the server counts them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sockets {
    pub(super) open: usize,
    pub(super) most: usize,
    pub(super) accepted: usize,
}

pub(super) struct Server {
    pub(super) address: NodeAddress,
    mood: Arc<watch::Sender<Mood>>,
    sockets: Arc<Mutex<Sockets>>,
}

impl Server {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mood = Arc::new(watch::Sender::new(Mood::default()));
        let sockets = Arc::new(Mutex::new(Sockets::default()));
        let server = Self {
            address: NodeAddress::tcp("127.0.0.1", Some(port)),
            mood: Arc::clone(&mood),
            sockets: Arc::clone(&sockets),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                {
                    let mut sockets = sockets.lock();
                    sockets.accepted += 1;
                    sockets.open += 1;
                    sockets.most = sockets.most.max(sockets.open);
                }
                let (mood, sockets) = (mood.subscribe(), Arc::clone(&sockets));
                tokio::spawn(async move {
                    let stream = serve(stream, mood).await;
                    // In this order: the client cannot know of the end before it is counted.
                    sockets.lock().open -= 1;
                    drop(stream);
                });
            }
        });
        server
    }

    pub(super) fn sockets(&self) -> Sockets {
        *self.sockets.lock()
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut Mood)) {
        self.mood.send_modify(change);
    }
}

/// Returns when the server lets go of the connection.
async fn serve(mut stream: TcpStream, mut mood: watch::Receiver<Mood>) -> TcpStream {
    stream.set_nodelay(true).unwrap();
    let mut seen = *mood.borrow();
    let mut buf = Vec::new();
    loop {
        tokio::select! {
            read = stream.read_buf(&mut buf) => {
                if !matches!(read, Ok(1..)) {
                    drop(mood.wait_for(|mood| !mood.clinging).await);
                    return stream;
                }
                let now = *mood.borrow();
                if let Some(reply) = answer(&mut buf, now) {
                    // A client that has left hears nothing.
                    drop(stream.write_all(&reply).await);
                }
            }
            _ = mood.changed() => {
                let now = *mood.borrow_and_update();
                if now.closings != seen.closings {
                    return stream;
                }
                if now.noises != seen.noises {
                    drop(stream.write_all(&[7]).await);
                }
                seen = now;
            }
        }
    }
}

/// The reply to the request in `buf`, once it is whole.
fn answer(buf: &mut Vec<u8>, mood: Mood) -> Option<Vec<u8>> {
    let header = Header::decode(buf, MAX_MESSAGE_LEN).unwrap()?;
    if buf.len() < header.length {
        return None;
    }
    let request: Vec<u8> = buf.drain(..header.length).collect();
    let body = &request[OpMsg::parse(&request).unwrap().body];
    let (name, _) = RawDocument::from_bytes(body)
        .unwrap()
        .into_iter()
        .next()
        .unwrap()
        .unwrap();
    let document = match name.as_str() {
        "isMaster" | "hello" if mood.deaf => return None,
        "isMaster" | "hello" if mood.unfriendly => rawdoc! { "ok": 0, "errmsg": "not today" },
        "isMaster" | "hello" => rawdoc! { "ok": 1, "helloOk": true, "maxWireVersion": 17 },
        "saslStart" => rawdoc! { "ok": 0, "code": 18, "errmsg": "Authentication failed." },
        _ if mood.slow => return None,
        _ => rawdoc! { "ok": 1 },
    };
    Some(reply::op_msg(1, header.request_id, 0, document.as_bytes()))
}
