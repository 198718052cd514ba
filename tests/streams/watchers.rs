//! Two hundred open change streams, held by the official Rust driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use mongodb::Client;
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use mongodb::options::ClientOptions;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Streams that share one driver client, each with a connection of its own.
const PER_CLIENT: usize = 50;

/// What the driver sent and met, seen by its command events.
#[derive(Default)]
pub(crate) struct Seen {
    /// Aggregates that open or resume a change stream.
    pub(crate) opened: AtomicUsize,
    /// getMores.
    pub(crate) asked: AtomicUsize,
    /// Failures.
    pub(crate) failed: AtomicUsize,
}

impl Seen {
    fn note(&self, event: &CommandEvent) {
        let counter = match event {
            CommandEvent::Started(started) => match started.command_name.as_str() {
                "aggregate" if started.command.to_string().contains("$changeStream") => {
                    &self.opened
                }
                "getMore" => &self.asked,
                _ => return,
            },
            CommandEvent::Failed(failed) => {
                println!("{} failed: {}", failed.command_name, failed.failure);
                &self.failed
            }
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// An event's way to one stream.
pub(crate) struct Arrival {
    /// Which event.
    pub(crate) event: i32,
    /// When the stream had it.
    pub(crate) at: Instant,
}

/// All streams.
pub(crate) struct Watchers {
    /// What the driver sent.
    seen: Arc<Seen>,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    tasks: JoinSet<Result<()>>,
    clients: Vec<Client>,
    count: usize,
}

impl Watchers {
    /// Opens `count` streams on one collection.
    pub(crate) async fn open(uri: &str, database: &str, count: usize) -> Result<Self> {
        let seen = Arc::new(Seen::default());
        let (send, arrivals) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let mut clients = Vec::new();
        let mut left = count;
        while left > 0 {
            let streams = left.min(PER_CLIENT);
            left -= streams;
            let client = client(uri, &seen).await?;
            let watched = client.database(database).collection::<Document>("watched");
            for _ in 0..streams {
                let stream = watched.watch().await?;
                tasks.spawn(follow(stream, send.clone()));
            }
            clients.push(client);
        }
        Ok(Self {
            seen,
            arrivals,
            tasks,
            clients,
            count,
        })
    }

    /// Waits until event number `event` has reached every stream; their times since `sent`.
    pub(crate) async fn all_have(
        &mut self,
        event: i32,
        sent: Instant,
        limit: Duration,
    ) -> Result<Vec<Duration>> {
        let mut times = Vec::new();
        let collect = async {
            while times.len() < self.count {
                let arrival = self.arrivals.recv().await.context("no stream is left")?;
                ensure!(
                    arrival.event == event,
                    "event {} came while waiting for {event}",
                    arrival.event
                );
                times.push(arrival.at.saturating_duration_since(sent));
            }
            anyhow::Ok(())
        };
        let ended = tokio::time::timeout(limit, collect).await;
        ended.with_context(|| format!("event {event} within {limit:?}"))??;
        Ok(times)
    }

    /// Closes the streams; their errors come out here. Returns how many getMores they sent.
    pub(crate) async fn close(mut self) -> Result<usize> {
        if let Some(ended) = self.tasks.try_join_next() {
            ended??;
        }
        let [opened, asked, failed] = [&self.seen.opened, &self.seen.asked, &self.seen.failed]
            .map(|counter| counter.load(Ordering::Relaxed));
        ensure!(opened == self.count, "{opened} opened: some were resumed");
        ensure!(failed == 0, "{failed} commands failed");
        self.tasks.shutdown().await;
        for client in self.clients {
            client.shutdown().await;
        }
        Ok(asked)
    }
}

async fn client(uri: &str, seen: &Arc<Seen>) -> Result<Client> {
    let mut options = ClientOptions::parse(uri).await?;
    options.max_pool_size = u32::try_from(PER_CLIENT).ok();
    let seen = Arc::clone(seen);
    options.command_event_handler = Some(EventHandler::callback(move |event| seen.note(&event)));
    Ok(Client::with_options(options)?)
}

type Stream = mongodb::change_stream::ChangeStream<
    mongodb::change_stream::event::ChangeStreamEvent<Document>,
>;

async fn follow(mut stream: Stream, arrivals: mpsc::UnboundedSender<Arrival>) -> Result<()> {
    loop {
        let Some(event) = stream.next_if_any().await? else {
            continue;
        };
        let document = event.full_document.context("an event without a document")?;
        let event = document.get_i32("_id")?;
        arrivals.send(Arrival {
            event,
            at: Instant::now(),
        })?;
    }
}

/// The document of event number `event`.
pub(crate) fn event(event: i32) -> Document {
    doc! { "_id": event }
}
