//! A driver's monitoring sockets.
//!
//! Outside Lambda's reach, and in drivers older than the Lambda rule, a
//! monitor streams: one socket on which the server answers hello whenever
//! something changes or ten seconds have passed, and a second one that
//! measures the round trip. Newer drivers that notice Lambda poll on a single
//! socket (`server-monitoring.md`). Either way these sockets count against the
//! server's limit, and an environment that is not yet refused one is no
//! further than that: its pool connection comes on top.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::client::{ClientError, Connection, Reply};
use super::driver::Link;
use super::messages::awaiting_hello;
use super::students::World;
use crate::wire::raw;

/// `heartbeatFrequencyMS` of all drivers.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Shortest time between two checks of a server that does not answer.
const MIN_HEARTBEAT: Duration = Duration::from_millis(500);

/// How an environment watches its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Monitoring {
    /// Two sockets: streaming hello and round-trip time.
    Stream,
    /// One socket that polls, as drivers do that notice Lambda.
    Poll,
}

impl Monitoring {
    /// Sockets of one environment, its pool connection included.
    pub(super) fn sockets(self) -> u64 {
        match self {
            Self::Stream => 3,
            Self::Poll => 2,
        }
    }
}

/// Watches the server for one environment until the task is aborted.
pub(super) async fn monitor(world: &World, link: &Link) {
    match world.monitoring {
        Monitoring::Poll => check_forever(world, link).await,
        Monitoring::Stream => {
            tokio::select! {
                () = check_forever(world, link) => {}
                () = measure_round_trips(world, link) => {}
            }
        }
    }
}

async fn check_forever(world: &World, link: &Link) {
    loop {
        tokio::select! {
            checked = check_until_error(world, link) => {
                if let Err(error) = checked {
                    world.tally.note_refusal(&error);
                }
            }
            () = link.reset.notified() => {
                // The operation has marked the server unknown already. The
                // next check follows at once.
                continue;
            }
        }
        // A server that was known is asked again at once, one that was not
        // after a pause, which is short while an operation waits.
        if !link.known.send_replace(false) {
            sleep(MIN_HEARTBEAT).await;
            let mut wanted = link.wanted.subscribe();
            let _ = timeout(HEARTBEAT - MIN_HEARTBEAT, wanted.wait_for(|wanted| *wanted)).await;
        }
    }
}

async fn check_until_error(world: &World, link: &Link) -> Result<Infallible, ClientError> {
    let (mut connection, mut hello) = Connection::open(world.address, &world.messages).await?;
    loop {
        link.known.send_replace(true);
        hello = match next_hello(world, &hello) {
            Some(awaiting) => stream(&mut connection, awaiting, link).await?,
            None => {
                sleep(HEARTBEAT).await;
                connection.exchange(world.messages.hello.clone()).await?
            }
        };
    }
}

/// The awaiting hello that follows `last`; none when this environment polls or
/// the server does not stream.
fn next_hello(world: &World, last: &Reply) -> Option<Vec<u8>> {
    match world.monitoring {
        Monitoring::Poll => None,
        Monitoring::Stream => {
            let version = raw::find(last.body(), b"topologyVersion")?;
            awaiting_hello(version.as_document()?)
        }
    }
}

/// Sends an awaiting hello and reads answers until the server wants to be
/// asked again; returns the last.
async fn stream(
    connection: &mut Connection,
    awaiting: Vec<u8>,
    link: &Link,
) -> Result<Reply, ClientError> {
    connection.send(awaiting).await?;
    loop {
        let hello = connection.receive().await?;
        let more = hello.more_to_come();
        let hello = hello.into_success()?;
        link.known.send_replace(true);
        if !more {
            return Ok(hello);
        }
    }
}

/// Starts with the first successful check. Errors here change nothing else:
/// the next measurement opens another socket.
async fn measure_round_trips(world: &World, link: &Link) {
    let mut known = link.known.subscribe();
    if known.wait_for(|known| *known).await.is_err() {
        return;
    }
    loop {
        if let Err(error) = measure_until_error(world).await {
            world.tally.note_refusal(&error);
        }
        sleep(HEARTBEAT).await;
    }
}

async fn measure_until_error(world: &World) -> Result<Infallible, ClientError> {
    let (mut connection, _) = Connection::open(world.address, &world.messages).await?;
    loop {
        sleep(HEARTBEAT).await;
        connection.exchange(world.messages.hello.clone()).await?;
    }
}
