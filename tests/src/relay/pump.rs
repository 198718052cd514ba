//! Moving the bytes of one connection, as its faults allow.

use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::sleep;

use super::{Connection, Fault, Shared, Side};
use crate::random::Random;

/// How much is moved at once.
const PIECE: usize = 16 * 1024;
/// How often [`Fault::Slow`] lets something pass.
const TICK: Duration = Duration::from_millis(10);

/// How the relay ends.
enum End {
    /// This direction's sender has finished.
    Finished,
    /// Both sides get a reset.
    Reset,
    /// Both sides get an end of stream.
    Cut,
}

pub(super) async fn relay(
    mut client: TcpStream,
    mut server: TcpStream,
    shared: &Shared,
    connection: &Connection,
) -> Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let end = {
        let (client_reads, client_writes) = client.split();
        let (server_reads, server_writes) = server.split();
        let requests = Pump {
            from: client_reads,
            to: server_writes,
            fault: connection.requests.subscribe(),
            set: &connection.requests,
            random: connection.random(Side::Requests),
        };
        let replies = Pump {
            from: server_reads,
            to: client_writes,
            fault: connection.replies.subscribe(),
            set: &connection.replies,
            random: connection.random(Side::Replies),
        };
        // A finished direction leaves the other one running: a half-close.
        let requests = requests.run(|bytes| shared.pull_triggers(bytes, connection));
        let replies = replies.run(|_| {});
        tokio::pin!(requests, replies);
        tokio::select! {
            end = &mut requests => match end {
                End::Finished => replies.await,
                other => other,
            },
            end = &mut replies => match end {
                End::Finished => requests.await,
                other => other,
            },
        }
    };
    if matches!(end, End::Reset) {
        client.set_zero_linger()?;
        server.set_zero_linger()?;
    }
    Ok(())
}

/// Reads until the client leaves, and says nothing.
pub(super) async fn swallow(mut client: TcpStream) -> Result<()> {
    let mut sink = vec![0; PIECE];
    while client.read(&mut sink).await? > 0 {}
    Ok(())
}

struct Pump<'a> {
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    fault: watch::Receiver<Fault>,
    set: &'a watch::Sender<Fault>,
    random: Random,
}

impl Pump<'_> {
    async fn run(mut self, seen: impl Fn(&[u8])) -> End {
        let mut piece = vec![0; PIECE];
        loop {
            let fault = self.fault.borrow_and_update().clone();
            match fault {
                Fault::ResetNow => return End::Reset,
                Fault::Stall => {
                    // The sender of the channel lives as long as we do.
                    let _ = self.fault.changed().await;
                    continue;
                }
                _ => {}
            }
            let read = tokio::select! {
                read = self.from.read(&mut piece) => read,
                _ = self.fault.changed() => continue,
            };
            let bytes = match read {
                Ok(0) => {
                    let _ = self.to.shutdown().await;
                    return End::Finished;
                }
                Ok(count) => piece.get_mut(..count).unwrap_or_default(),
                // The sender reset: so does the relay.
                Err(_) => return End::Reset,
            };
            seen(bytes);
            if let Some(end) = self.pass(bytes).await {
                return end;
            }
        }
    }

    /// Passes one piece on; what comes out is the end of the connection.
    async fn pass(&mut self, bytes: &mut [u8]) -> Option<End> {
        // A stall that came with this very piece holds it back too.
        while *self.fault.borrow_and_update() == Fault::Stall {
            let _ = self.fault.changed().await;
        }
        let fault = self.fault.borrow_and_update().clone();
        match fault {
            Fault::None | Fault::Stall => self.write(bytes).await,
            Fault::Discard => None,
            Fault::ResetNow => Some(End::Reset),
            Fault::Delay { by, jitter } => {
                sleep(by + jitter * self.per_mille() / 1_000).await;
                self.write(bytes).await
            }
            Fault::Slow(rate) => self.trickle(bytes, rate).await,
            Fault::Reset(left) => self.last(bytes, left, Fault::Reset, End::Reset).await,
            Fault::Truncate(left) => self.last(bytes, left, Fault::Truncate, End::Cut).await,
            Fault::Length(length) => {
                for (byte, wrong) in bytes.iter_mut().zip(length.to_le_bytes()) {
                    *byte = wrong;
                }
                self.set.send_replace(Fault::None);
                self.write(bytes).await
            }
        }
    }

    fn per_mille(&mut self) -> u32 {
        u32::try_from(self.random.below(1_000)).unwrap_or(0)
    }

    async fn write(&mut self, bytes: &[u8]) -> Option<End> {
        self.to.write_all(bytes).await.err().map(|_| End::Reset)
    }

    async fn trickle(&mut self, bytes: &[u8], rate: u64) -> Option<End> {
        let per_tick = usize::try_from(rate / 100).unwrap_or(usize::MAX).max(1);
        for part in bytes.chunks(per_tick) {
            sleep(TICK).await;
            if let Some(end) = self.write(part).await {
                return Some(end);
            }
        }
        None
    }

    /// The last `left` bytes before `end`.
    async fn last(
        &mut self,
        bytes: &[u8],
        left: usize,
        fault: fn(usize) -> Fault,
        end: End,
    ) -> Option<End> {
        let now = bytes.get(..left).unwrap_or(bytes);
        if let Some(end) = self.write(now).await {
            return Some(end);
        }
        if now.len() == left {
            return Some(end);
        }
        self.set.send_replace(fault(left - now.len()));
        None
    }
}
