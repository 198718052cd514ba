//! Ordinary work beside the streams: small reads and writes, each client one at a time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bson::{Document, doc};
use tokio::task::JoinSet;
use weir_tests::raw::Raw;

/// Documents that are read and written.
const DOCUMENTS: i32 = 1_000;

/// One operation of so many is a write.
const WRITE_EVERY: i32 = 20;

/// Clients that work until they are dropped.
pub(crate) struct Ordinary {
    done: Arc<AtomicUsize>,
    tasks: JoinSet<Result<()>>,
}

impl Ordinary {
    /// Starts so many clients.
    pub(crate) async fn start(weir: SocketAddr, database: &str, clients: i32) -> Result<Self> {
        let done = Arc::new(AtomicUsize::new(0));
        let mut raw = Raw::connect(weir).await?;
        let documents: Vec<_> = (0..DOCUMENTS).map(|n| doc! { "_id": n, "n": 0 }).collect();
        let fill = doc! { "insert": "ordinary", "documents": documents };
        succeeded(&raw.command(database, fill).await?)?;
        let mut tasks = JoinSet::new();
        for client in 0..clients {
            tasks.spawn(work(weir, database.to_owned(), client, Arc::clone(&done)));
        }
        Ok(Self { done, tasks })
    }

    /// Operations per second during `time`.
    pub(crate) async fn speed(&mut self, time: Duration) -> Result<f64> {
        let (before, began) = (self.done.load(Ordering::Relaxed), Instant::now());
        tokio::time::sleep(time).await;
        if let Some(ended) = self.tasks.try_join_next() {
            ended??;
        }
        let done = self.done.load(Ordering::Relaxed) - before;
        let done = f64::from(u32::try_from(done)?);
        Ok(done / began.elapsed().as_secs_f64())
    }
}

/// Nineteen reads, then a write. A server hands every stream every write that it makes, so
/// with many writes it is busy with the streams whichever way they reach it.
async fn work(
    weir: SocketAddr,
    database: String,
    client: i32,
    done: Arc<AtomicUsize>,
) -> Result<()> {
    let mut raw = Raw::connect(weir).await?;
    for step in (client * 100).. {
        let id = step % DOCUMENTS;
        let command = if step % WRITE_EVERY == 0 {
            let updates = [doc! { "q": { "_id": id }, "u": { "$inc": { "n": 1 } } }];
            doc! { "update": "ordinary", "updates": updates.to_vec() }
        } else {
            doc! { "find": "ordinary", "filter": { "_id": id }, "limit": 1 }
        };
        succeeded(&raw.command(&database, command).await?)?;
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn succeeded(reply: &Document) -> Result<()> {
    ensure!(reply.get_f64("ok").ok() == Some(1.0), "{reply}");
    Ok(())
}
