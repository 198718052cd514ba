//! Watching a deployment: from the start, or from when somebody needs it.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    config::DriverSeed,
    topology::{
        Topology,
        monitor::{Monitor, MonitorError},
    },
};

/// Longest time that closing the monitors' connections may take.
const STOP_TIME: Duration = Duration::from_secs(2);

/// Watches one deployment.
pub(crate) enum Watcher {
    /// It is being watched.
    Now(Monitor),
    /// It will be when an operation finds no node, or when it is woken.
    Later(Arc<Later>),
}

/// A watcher that sleeps.
#[derive(Default)]
pub(crate) struct Later {
    woken: CancellationToken,
    stopped: CancellationToken,
    ended: CancellationToken,
}

impl Watcher {
    pub(super) fn start(
        seed: &DriverSeed,
        topology: &Topology,
        asleep: bool,
    ) -> Result<Self, MonitorError> {
        if !asleep {
            return Monitor::start(seed.client_options(), topology).map(Self::Now);
        }
        let later = Arc::new(Later::default());
        tokio::spawn(Arc::clone(&later).watch(seed.clone(), topology.clone()));
        Ok(Self::Later(later))
    }

    /// What wakes it, if it sleeps.
    pub(super) fn later(&self) -> Option<Arc<Later>> {
        match self {
            Self::Now(_) => None,
            Self::Later(later) => Some(Arc::clone(later)),
        }
    }

    /// Stops watching; the monitors' connections are closed when it returns, or soon.
    pub(crate) async fn stop(self) {
        let stopping = async {
            match self {
                Self::Now(monitor) => monitor.stop().await,
                Self::Later(later) => {
                    later.stopped.cancel();
                    later.ended.cancelled().await;
                }
            }
        };
        drop(tokio::time::timeout(STOP_TIME, stopping).await);
    }
}

impl Later {
    /// Starts to watch.
    pub(super) fn wake(&self) {
        self.woken.cancel();
    }

    async fn watch(self: Arc<Self>, seed: DriverSeed, topology: Topology) {
        let _ended = self.ended.clone().drop_guard();
        tokio::select! {
            () = self.woken.cancelled() => {}
            () = topology.needed() => {}
            () = self.stopped.cancelled() => return,
        }
        match Monitor::start(seed.client_options(), &topology) {
            Ok(monitor) => {
                self.stopped.cancelled().await;
                monitor.stop().await;
            }
            Err(error) => tracing::error!(%error, "the upstream cannot be watched"),
        }
    }
}
