//! Reading requests and playing the script.

use std::sync::Arc;

use anyhow::Result;
use bson::{Document, doc};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::{Act, Received, Shared, hello};
use crate::message::{MORE_TO_COME, Message, QUERY, op_msg, op_reply};
use crate::raw::receive;

pub(super) async fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(shared);
        let id = {
            let mut state = shared.lock();
            state.open += 1;
            state.accepted += 1;
            state.accepted - 1
        };
        tokio::spawn(async move {
            // A broken connection is often what the script wants.
            let _ = serve(stream, id, &shared).await;
            shared.lock().open -= 1;
        });
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
    while let Some(bytes) = receive(&mut stream).await? {
        let message = Message::parse(bytes)?;
        let name = script_name(&message).to_owned();
        let scripted = {
            let mut state = shared.lock();
            state.received.push(Received {
                connection,
                message: message.clone(),
            });
            state
                .scripts
                .get_mut(&name)
                .and_then(|queue| queue.pop_front())
        };
        let act = match scripted {
            Some(act) => act,
            None if message.more_to_come() => Act::Nothing,
            None if name == "hello" => {
                let reply = hello::answer(&message, connection, shared).await;
                reply.map_or(Act::Nothing, Act::Reply)
            }
            None => Act::Reply(doc! { "ok": 1.0 }),
        };
        if !play(act, &message, &mut stream).await? {
            break;
        }
    }
    Ok(())
}

/// Plays one act; false when the connection is over.
async fn play(act: Act, request: &Message, stream: &mut TcpStream) -> Result<bool> {
    match act {
        Act::Reply(body) => stream.write_all(&reply(request, &body)).await?,
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
