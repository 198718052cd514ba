//! Finds clients that send only hello.
//!
//! A driver whose connection string still has `replicaSet=` monitors Weir for ever. It sends no
//! command, because it finds no such set. A single connection does not show this, because healthy
//! drivers monitor too. So Weir looks at all connections of one source: address, driver and
//! application. If none of them has sent a command for ten seconds, Weir logs that once, with the
//! likeliest cause.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;

use crate::downstream::Peer;

/// A source that has sent only hello for this time is logged.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Sources that are remembered. Further sources are not watched.
const MOST: usize = 10_000;

/// Whether a source has ever sent a command.
#[derive(Debug, Default)]
struct Source {
    works: AtomicBool,
}

/// All sources seen, by address, driver and application.
#[derive(Debug, Default)]
pub struct HelloOnlySources(Arc<DashMap<String, Arc<Source>>>);

/// A connection of a source that has sent only hello so far.
#[derive(Debug)]
pub struct HelloOnly(Arc<Source>);

impl HelloOnly {
    /// The client sent a command other than hello and login.
    pub fn works(self) {
        self.0.works.store(true, Ordering::Relaxed);
    }
}

impl HelloOnlySources {
    /// A client has sent its first hello. `None`: its source has sent commands, or is not watched.
    pub(crate) fn arrived(
        &self,
        peer: &Peer,
        driver: &str,
        app: Option<&str>,
    ) -> Option<HelloOnly> {
        let from = peer
            .ip
            .map_or_else(|| "unix".to_owned(), |ip| ip.to_string());
        let app = app.unwrap_or("no application name");
        let key = format!("{from} {driver} {app}");
        if let Some(source) = self.0.get(&key) {
            let known = source.works.load(Ordering::Relaxed);
            return (!known).then(|| HelloOnly(Arc::clone(&source)));
        }
        if self.0.len() >= MOST {
            return None;
        }
        let source = Arc::new(Source::default());
        self.0.insert(key, Arc::clone(&source));
        self.watch(&source, from, driver.to_owned(), app.to_owned());
        Some(HelloOnly(source))
    }

    fn watch(&self, source: &Arc<Source>, from: String, driver: String, app: String) {
        let source = Arc::clone(source);
        tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            if !source.works.load(Ordering::Relaxed) {
                tracing::warn!(
                    peer = %from, %driver, application = %app,
                    "a client has sent nothing but hello for 10 s; the likeliest cause is \
                     replicaSet= in its connection string, which must be removed: Weir appears as \
                     a mongos (weir check prints the exact string)"
                );
            }
        });
    }
}
