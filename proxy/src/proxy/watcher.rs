//! Watching a deployment: from the start, or from when somebody needs it.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
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

/// A watcher that sleeps, and may sleep again.
pub(crate) struct Later {
    phase: watch::Sender<Phase>,
    ended: CancellationToken,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Asleep,
    Awake,
    Stopped,
}

impl Default for Later {
    fn default() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Asleep),
            ended: CancellationToken::new(),
        }
    }
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
                    later.phase.send_replace(Phase::Stopped);
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
        self.phase.send_replace(Phase::Awake);
    }

    /// Stops watching until it is woken or needed.
    pub(super) fn rest(&self) {
        self.phase.send_replace(Phase::Asleep);
    }

    async fn watch(self: Arc<Self>, seed: DriverSeed, topology: Topology) {
        let _ended = self.ended.clone().drop_guard();
        let mut phase = self.phase.subscribe();
        loop {
            let woken = async { drop(phase.wait_for(|phase| *phase != Phase::Asleep).await) };
            tokio::select! {
                () = woken => {}
                () = topology.needed() => {}
            }
            if *phase.borrow_and_update() == Phase::Stopped {
                return;
            }
            let monitor = match Monitor::start(seed.client_options(), &topology) {
                Ok(monitor) => monitor,
                Err(error) => {
                    return tracing::error!(%error, "the upstream cannot be watched");
                }
            };
            while phase.changed().await.is_ok() && *phase.borrow_and_update() == Phase::Awake {}
            monitor.stop().await;
            if *phase.borrow() == Phase::Stopped {
                return;
            }
        }
    }
}
