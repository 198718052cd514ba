//! A driver's monitoring sockets.
//!
//! By default a monitor streams: one socket on which the server answers hello whenever
//! something changes or ten seconds have passed, and a second one that
//! measures the round trip. Drivers of 2023 and later that notice Lambda poll on
//! a single socket instead (`server-monitoring.md`). Either way these sockets
//! count against the server's limit before the first operation does.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::args::Monitoring;
use crate::link::{Link, Seen};
use crate::world::World;
use weir::wire::raw;
use weir_kit::client::{ClientError, Connection, Reply};
use weir_kit::messages::awaiting_hello;

/// `heartbeatFrequencyMS` of all drivers.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Shortest time between two checks of a server that does not answer.
const MIN_HEARTBEAT: Duration = Duration::from_millis(500);

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
            ended = check_until_error(world, link) => {
                let Err(error) = ended;
                world.tally.note_refusal(&error);
            }
            // The operation has marked the server unknown already; the next
            // check follows at once.
            () = reset_noticed(link) => continue,
        }
        // A server that was known is asked again at once, one that was not
        // after a pause, which is short while an operation waits.
        if link.server.send_replace(Seen::Nothing) == Seen::Nothing {
            sleep(MIN_HEARTBEAT).await;
            let mut wanted = link.wanted.subscribe();
            let _ = timeout(HEARTBEAT - MIN_HEARTBEAT, wanted.wait_for(|wanted| *wanted)).await;
        }
    }
}

/// A monitor that waits for its server learns late that an operation failed:
/// PyMongo looks every half second, and keeps its socket until then.
async fn reset_noticed(link: &Link) {
    link.reset.notified().await;
    sleep(MIN_HEARTBEAT / 2).await;
}

async fn check_until_error(world: &World, link: &Link) -> Result<Infallible, ClientError> {
    let (mut connection, mut hello) = Connection::open(world.address, &world.messages).await?;
    loop {
        let awaiting = next_hello(world, &hello);
        let writable = note(link, &hello, awaiting.is_some());
        hello = match awaiting {
            Some(awaiting) => stream(&mut connection, awaiting, link).await?,
            None => {
                sleep(if writable { HEARTBEAT } else { MIN_HEARTBEAT }).await;
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

/// Notes what a hello says of its server: it is of use when it takes writes. Says whether
/// it does.
fn note(link: &Link, hello: &Reply, streams: bool) -> bool {
    let says = |name: &[u8]| raw::find(hello.body(), name).is_some_and(|field| field.as_truthy());
    let writable = says(b"isWritablePrimary") || says(b"ismaster");
    let seen = match (writable, streams) {
        (false, _) => Seen::Nothing,
        (true, true) => Seen::Streaming,
        (true, false) => Seen::Polled,
    };
    link.server.send_replace(seen);
    writable
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
        let hello = connection.receive().await?.into_success()?;
        note(link, &hello, true);
        if !hello.more_to_come() {
            return Ok(hello);
        }
    }
}

/// Starts when the server is first seen to stream; polling measures by itself.
/// Errors here change nothing else: the next measurement opens another socket.
async fn measure_round_trips(world: &World, link: &Link) {
    let mut server = link.server.subscribe();
    let _ = server.wait_for(|seen| *seen == Seen::Streaming).await;
    loop {
        let Err(error) = measure_until_error(world).await;
        world.tally.note_refusal(&error);
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
