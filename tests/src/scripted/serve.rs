//! Reading requests and playing the script.

use std::sync::Arc;

use anyhow::Result;
use bson::{Document, doc};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;

use super::{Act, Received, Shared, hello};
use crate::message::{EXHAUST_ALLOWED, MORE_TO_COME, Message, QUERY, op_msg, op_reply};
use crate::raw::receive;

/// Serves one connection, and counts it while it is open.
pub(super) fn serve_counted(
    stream: TcpStream,
    shared: Arc<Shared>,
) -> impl Future<Output = ()> + Send {
    // Counted when it is accepted, in the order of acceptance.
    let id = {
        let mut state = shared.lock();
        state.open += 1;
        state.accepted += 1;
        state.accepted - 1
    };
    async move {
        // A broken connection is often what the script wants.
        let _ = serve(stream, id, &shared).await;
        shared.lock().open -= 1;
    }
}

/// The key under which a message's answers are scripted.
pub(super) fn script_name(message: &Message) -> &str {
    if hello::is_hello(message) {
        "hello"
    } else {
        message.command()
    }
}

async fn serve(mut stream: TcpStream, connection: usize, shared: &Shared) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut hang_ups = shared.hang_ups.subscribe();
    let mut only_hello = true;
    loop {
        let received = tokio::select! {
            received = receive(&mut stream) => received?,
            _ = hang_ups.changed(), if only_hello => return Ok(()),
        };
        let Some(bytes) = received else {
            return Ok(());
        };
        let message = Message::parse(bytes)?;
        let name = script_name(&message).to_owned();
        only_hello &= name == "hello";
        let act = match scripted(&name, &message, connection, shared) {
            Some(act) => act,
            None if message.more_to_come() => Act::Nothing,
            None if name == "hello" => {
                if !greet(&message, connection, shared, &mut stream, &mut hang_ups).await? {
                    return Ok(());
                }
                continue;
            }
            None => Act::Reply(doc! { "ok": 1.0 }),
        };
        if let Act::Leave(_) = act {
            shared.hang_ups.send_modify(|count| *count += 1);
        }
        if !play(act, &message, &mut stream).await? {
            return Ok(());
        }
    }
}

/// Records a message; the act that its script or the answerer has for it.
fn scripted(name: &str, message: &Message, connection: usize, shared: &Shared) -> Option<Act> {
    let received = Received {
        connection,
        message: message.clone(),
    };
    let (act, answerer) = {
        let mut state = shared.lock();
        state.received.push(received.clone());
        let queue = state.scripts.get_mut(name);
        (
            queue.and_then(|queue| queue.pop_front()),
            state.answerer.clone(),
        )
    };
    if act.is_some() || name == "hello" {
        return act;
    }
    answerer.and_then(|answerer| answerer(&received))
}

/// Answers a hello; with the exhaust flag again and again, until the client has left.
/// False when the connection is over.
async fn greet(
    message: &Message,
    connection: usize,
    shared: &Shared,
    stream: &mut TcpStream,
    hang_ups: &mut watch::Receiver<u64>,
) -> Result<bool> {
    let mut message = message.clone();
    let streams =
        message.flags & EXHAUST_ALLOWED != 0 && message.body.contains_key("maxAwaitTimeMS");
    loop {
        let document = tokio::select! {
            document = hello::answer(&message, connection, shared) => document,
            _ = hang_ups.changed(), if message.body.contains_key("maxAwaitTimeMS") => return Ok(false),
            () = left(stream), if streams => return Ok(false),
        };
        let Some(document) = document else {
            return Ok(true);
        };
        if !streams {
            stream.write_all(&reply(&message, &document)).await?;
            return Ok(true);
        }
        let id = reply_id(&message);
        stream
            .write_all(&op_msg(id, message.request_id, MORE_TO_COME, &document))
            .await?;
        // The next answer answers this one, and waits for the next change.
        message.request_id = id;
        if let Some(version) = document.get("topologyVersion") {
            message.body.insert("topologyVersion", version.clone());
        }
    }
}

/// Ends when the client closes; a monitor sends nothing while it is being told.
async fn left(stream: &TcpStream) {
    let mut byte = [0];
    let _ = stream.peek(&mut byte).await;
}

/// Plays one act; false when the connection is over.
async fn play(act: Act, request: &Message, stream: &mut TcpStream) -> Result<bool> {
    match act {
        Act::Reply(body) | Act::Leave(body) => stream.write_all(&reply(request, &body)).await?,
        Act::Late(after, body) => {
            sleep(after).await;
            stream.write_all(&reply(request, &body)).await?;
        }
        Act::Odd {
            flags,
            response_to,
            body,
        } => {
            let response_to = response_to.unwrap_or(request.request_id);
            let id = reply_id(request);
            stream
                .write_all(&op_msg(id, response_to, flags, &body))
                .await?;
        }
        Act::Chain(bodies) => chain(&bodies, request, stream).await?,
        Act::Pieces(size, body) => {
            for piece in reply(request, &body).chunks(size.max(1)) {
                stream.write_all(piece).await?;
                tokio::task::yield_now().await;
            }
        }
        Act::Cut(size, body) => {
            let bytes = reply(request, &body);
            stream
                .write_all(bytes.get(..size).unwrap_or(&bytes))
                .await?;
            return Ok(false);
        }
        Act::Bytes(bytes) => stream.write_all(&bytes).await?,
        Act::Nothing => {}
        Act::Close => return Ok(false),
        Act::Reset => {
            stream.set_zero_linger()?;
            return Ok(false);
        }
    }
    Ok(true)
}

async fn chain(bodies: &[Document], request: &Message, stream: &mut TcpStream) -> Result<()> {
    let mut response_to = request.request_id;
    for (index, body) in bodies.iter().enumerate() {
        let flags = if index + 1 < bodies.len() {
            MORE_TO_COME
        } else {
            0
        };
        let id = reply_id(request).wrapping_add(i32::try_from(index)?);
        stream
            .write_all(&op_msg(id, response_to, flags, body))
            .await?;
        response_to = id;
    }
    Ok(())
}

/// In the request's own kind of message.
fn reply(request: &Message, body: &Document) -> Vec<u8> {
    if request.op_code == QUERY {
        op_reply(reply_id(request), request.request_id, body)
    } else {
        op_msg(reply_id(request), request.request_id, 0, body)
    }
}

fn reply_id(request: &Message) -> i32 {
    request.request_id.wrapping_add(1_000_000)
}
