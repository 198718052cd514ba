//! The Weir under pressure: a whole one in this process, watched from inside.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::Trouble;
use weir::admin::{ServiceStatus, View};
use weir::config::Config;
use weir::drain::Drain;
use weir::metrics::waits::WaitTimes;
use weir::proxy::{Proxy, StartError};

/// Longest wait for it to end.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// Time between two checks of whether a node takes operations.
const READY_INTERVAL: Duration = Duration::from_millis(10);

/// A running Weir; ends hard when dropped.
pub(super) struct Weir {
    /// Where clients connect.
    pub(super) address: SocketAddr,
    view: View,
    drain: Drain,
    task: AbortOnDropHandle<Result<(), StartError>>,
}

/// What it did between two moments.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// Waits for a connection: normal, finishing, awaiting.
    pub(super) waits: [WaitTimes; 3],
    /// Operations shed, or timed out in the queue.
    pub(super) shed: u64,
    /// Other errors of Weir's own.
    pub(super) refused: u64,
}

/// The busiest node at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Glance {
    /// Operations waiting for a connection.
    pub(super) queued: u64,
    /// Connections in use by lane: normal, finishing, awaiting.
    pub(super) lanes: [u64; 3],
    /// Sockets to the node, those that watch it counted in.
    pub(super) sockets: u64,
}

impl Weir {
    /// Starts one and waits until it has a connection to the deployment.
    pub(super) async fn start(config: Config, limit: Duration) -> Result<Self, Trouble> {
        let began = Instant::now();
        let trouble = |why: String| Trouble(format!("Weir did not start: {why}"));
        drop(weir::admin::recorder());
        let proxy = Proxy::bind(config).await;
        let proxy = proxy.map_err(|error| trouble(error.to_string()))?;
        let address = proxy.addresses().first().and_then(|text| text.parse().ok());
        let (Some(address), Some(view)) = (address, proxy.views().into_iter().next()) else {
            return Err(trouble("it does not say where it listens".to_owned()));
        };
        let weir = Self {
            address,
            view,
            drain: proxy.drain(),
            task: AbortOnDropHandle::new(tokio::spawn(proxy.run())),
        };
        // Waits are counted from the first time they are read.
        let _ = weir.view.waits();
        while !weir.view.takes_writes() {
            if weir.task.is_finished() {
                let why = match weir.task.await {
                    Ok(Err(error)) => error.to_string(),
                    _ => "it ended at once".to_owned(),
                };
                return Err(trouble(why));
            }
            if began.elapsed() > limit {
                return Err(Trouble(format!(
                    "Weir found no node that takes operations within {} s; `weir check` says why",
                    limit.as_secs()
                )));
            }
            sleep(READY_INTERVAL).await;
        }
        Ok(weir)
    }

    /// What it has done so far.
    pub(super) fn account(&self) -> Account {
        let mut account = Account {
            waits: self.view.waits(),
            ..Account::default()
        };
        for (cause, count) in self.view.failures() {
            let sum = match cause {
                "overloaded" => &mut account.shed,
                _ => &mut account.refused,
            };
            *sum += count as u64;
        }
        account
    }

    /// How things stand now.
    pub(super) fn glance(&self) -> Glance {
        let status = ServiceStatus::of(&self.view);
        let monitors = status.monitor_sockets;
        let glances = status.nodes.iter().map(|node| Glance {
            queued: node.queued as u64,
            lanes: [node.normal, node.finishing, node.awaiting].map(|n| n as u64),
            sockets: (node.sockets + monitors) as u64,
        });
        let busiest = glances.max_by_key(|glance| (glance.queued, glance.sockets));
        busiest.unwrap_or_default()
    }

    /// Ends it without waiting for clients.
    pub(super) async fn stop(self) -> io::Result<()> {
        self.drain.begin();
        self.drain.begin();
        drop(self.view);
        match timeout(STOP_LIMIT, self.task).await {
            Ok(_) => Ok(()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Account {
    /// What came after `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let mut waits = self.waits.clone();
        for (now, before) in waits.iter_mut().zip(&earlier.waits) {
            *now = now.since(before);
        }
        Self {
            waits,
            shed: self.shed.saturating_sub(earlier.shed),
            refused: self.refused.saturating_sub(earlier.refused),
        }
    }
}
