//! Watching a deployment: from the start, or from when somebody needs it.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{DriverSeed, Freezing},
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
    state: watch::Sender<State>,
    ended: CancellationToken,
}

#[derive(Clone, Copy)]
struct State {
    phase: Phase,
    /// It sleeps because it was paused, and goes on when it is resumed.
    paused: bool,
    /// Connections of an earlier life are given up.
    life: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Asleep,
    Awake,
    Stopped,
}

impl Watcher {
    /// `freezing`: the process may be frozen, so that its host decides when it watches.
    pub(super) fn start(
        seed: &DriverSeed,
        topology: &Topology,
        freezing: Option<Freezing>,
    ) -> Result<Self, MonitorError> {
        let start = || Monitor::start(seed.client_options(), topology);
        let Some(freezing) = freezing else {
            return start().map(Self::Now);
        };
        let (phase, first) = match freezing.asleep {
            true => (Phase::Asleep, None),
            false => (Phase::Awake, Some(start()?)),
        };
        let later = Arc::new(Later {
            state: watch::Sender::new(State {
                phase,
                paused: false,
                life: 0,
            }),
            ended: CancellationToken::new(),
        });
        tokio::spawn(Arc::clone(&later).watch(seed.clone(), topology.clone(), first));
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
                    later.enter(Phase::Stopped);
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
        self.enter(Phase::Awake);
    }

    /// Stops watching until it is woken or needed.
    pub(super) fn rest(&self) {
        self.enter(Phase::Asleep);
    }

    /// The same until it is resumed, if it watches.
    pub(super) fn pause(&self) {
        self.state.send_modify(|state| {
            state.paused |= state.phase == Phase::Awake;
            if state.phase != Phase::Stopped {
                state.phase = Phase::Asleep;
            }
        });
    }

    /// Goes on after a pause.
    pub(super) fn resume(&self) {
        if self.state.borrow().paused {
            self.wake();
        }
    }

    /// The connections of its monitor are another process's: gives them up.
    pub(super) fn renew(&self) {
        self.state.send_modify(|state| state.life += 1);
    }

    fn enter(&self, phase: Phase) {
        self.state.send_modify(|state| {
            state.phase = phase;
            state.paused = false;
        });
    }

    async fn watch(
        self: Arc<Self>,
        seed: DriverSeed,
        topology: Topology,
        mut first: Option<Monitor>,
    ) {
        let _ended = self.ended.clone().drop_guard();
        let mut state = self.state.subscribe();
        loop {
            let begun = match first.take() {
                Some(monitor) => Ok(monitor),
                None => {
                    let woken =
                        async { drop(state.wait_for(|state| state.phase != Phase::Asleep).await) };
                    tokio::select! {
                        () = woken => {}
                        () = topology.needed() => {}
                    }
                    if state.borrow().phase == Phase::Stopped {
                        return;
                    }
                    Monitor::start(seed.client_options(), &topology)
                }
            };
            let monitor = match begun {
                Ok(monitor) => monitor,
                Err(error) => {
                    return tracing::error!(%error, "the upstream cannot be watched");
                }
            };
            let begun = *state.borrow_and_update();
            while begun.phase != Phase::Stopped && state.changed().await.is_ok() {
                let now = *state.borrow_and_update();
                if now.phase != Phase::Awake || now.life != begun.life {
                    break;
                }
            }
            // A flow may be dead, and then the server never closes it.
            drop(tokio::time::timeout(STOP_TIME, monitor.stop()).await);
            if state.borrow().phase == Phase::Stopped {
                return;
            }
        }
    }
}
