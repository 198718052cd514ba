//! Puts the parts together: from a [`Config`] to a running proxy.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admin::{self, Admin},
    config::{ClientAuth, Config, tls},
    downstream::{Frontend, frontend::new_process_id},
    drain::Drain,
    listener::{Admission, Listener},
    proxy::{build::Build, watcher::Watcher},
    relay::budget::Budget,
    topology::NodeAddress,
    upstream::{SetupError, orphans},
};

mod build;

pub mod controls;

pub(crate) mod watcher;

pub use controls::{Controls, Tally};

/// Why Weir did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({setting}): {source}{}", hint(source))]
    Bind {
        /// The address.
        address: String,
        /// The flag that names it.
        setting: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// TLS files cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// No connection could ever be made with these settings.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The driver refuses to watch the deployment.
    #[error("cannot watch the upstream: {0}")]
    Monitor(#[from] crate::topology::monitor::MonitorError),
    /// The upstream can never be served.
    #[error("{0}")]
    Upstream(String),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another process (an older Weir, a mongod?) holds it: stop it or choose another address"
        }
        io::ErrorKind::PermissionDenied => "; choose a port above 1023 or another path",
        _ => "",
    }
}

/// One listener's parts.
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) upstream: String,
    pub(crate) max_connections: usize,
    pub(crate) monitor_sockets: usize,
    pub(crate) front: Arc<Frontend>,
    watcher: Watcher,
    /// The other way to the same cluster.
    spare: Option<Box<Service>>,
    bound: Vec<(Listener, Admission)>,
}

impl Service {
    /// What the admin server sees of it.
    fn view(&self) -> admin::View {
        admin::View {
            name: self.name.clone(),
            upstream: self.upstream.clone(),
            max_connections: self.max_connections,
            monitor_sockets: self.monitor_sockets,
            front: Arc::clone(&self.front),
        }
    }
}

/// A proxy that listens and is ready to run.
pub struct Proxy {
    services: Vec<Service>,
    admin: Option<TcpListener>,
    clients: Arc<AtomicUsize>,
    tasks: TaskTracker,
    fatal: watch::Receiver<Option<String>>,
    drain: Drain,
}

impl Proxy {
    /// Opens every socket and begins to watch the upstream.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left open then.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let admin = config.admin;
        let mut proxy = Self::embed(config).await?;
        proxy.admin = Some(bind_admin(admin).await?);
        Ok(proxy)
    }

    /// The same for a host that has a Weir inside of it: nobody can ask it over HTTP.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left open then.
    pub async fn embed(config: Config) -> Result<Self, StartError> {
        let clients = Arc::new(AtomicUsize::new(0));
        let tasks = TaskTracker::new();
        let budget = Arc::new(Budget::new(config.max_in_flight_bytes));
        let (fatal_sender, fatal) = watch::channel(None);
        let process_id = new_process_id();
        let drain = Drain::new(config.behind, config.drain_timeout);
        let mut services = Vec::new();
        for listener in &config.listeners {
            let build = Build {
                config: &config,
                listener,
                drain: &drain,
                process_id,
            };
            let slots = listener.data_connections();
            // A predecessor in a function's environment left nothing that works, and nobody can wait.
            let waits = listener.freezing.is_none();
            for host in listener.upstream.hosts.iter().filter(|_| waits) {
                let node = NodeAddress::tcp(&host.host, Some(host.port));
                orphans::make_room(&node, slots).await;
            }
            let mut service = build.service(&budget, &fatal_sender)?;
            for address in &listener.listen {
                let bound = Listener::bind(address)
                    .await
                    .map_err(|source| StartError::Bind {
                        address: address.to_string(),
                        setting: "--listen",
                        source,
                    })?;
                let must_log_in = listener.client_auth(address) == ClientAuth::Required;
                let admission = build.admission(&service.front, must_log_in, &clients, &tasks)?;
                service.bound.push((bound, admission));
            }
            services.push(service);
        }
        Ok(Self {
            services,
            admin: None,
            clients,
            tasks,
            fatal,
            drain,
        })
    }

    /// The addresses clients can use, in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        let bound = self.services.iter().flat_map(|service| &service.bound);
        bound.map(|(listener, _)| listener.name()).collect()
    }

    /// Where health, status and metrics are served.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
            .as_ref()
            .and_then(|admin| admin.local_addr().ok())
    }

    /// What ends the proxy in good order.
    #[must_use]
    pub fn drain(&self) -> Drain {
        self.drain.clone()
    }

    /// What a host can do with it while it runs.
    #[must_use]
    pub fn controls(&self) -> Controls {
        Controls::of(&self.services)
    }

    /// What can be seen of each listener while it runs.
    #[must_use]
    pub fn views(&self) -> Vec<admin::View> {
        self.services.iter().map(Service::view).collect()
    }

    /// Serves until drained.
    ///
    /// # Errors
    /// The upstream turned out to be one that can never be served.
    pub async fn run(mut self) -> Result<(), StartError> {
        let stop = CancellationToken::new();
        let admin = Arc::new(Admin::new(
            self.views(),
            Arc::clone(&self.clients),
            self.drain.clone(),
        ));
        if let Some(listener) = self.admin.take() {
            tokio::spawn(admin::serve(listener, admin, stop.clone()));
        }
        let (mut watchers, mut relays) = (Vec::new(), Vec::new());
        for service in self.services {
            for (listener, admission) in service.bound {
                tracing::info!(
                    listener = %service.name,
                    address = %listener.name(),
                    upstream = %service.upstream,
                    max_connections = service.max_connections,
                    max_clients = admission.client_limit.most,
                    "serving"
                );
                let over = stop.clone();
                self.drain.listen(|stop| async move {
                    // A host may outlive its Weir: nobody is to find a listener then.
                    over.run_until_cancelled(listener.run(admission, stop))
                        .await;
                });
            }
            tokio::spawn(upkeep(Arc::downgrade(&service.front)));
            relays.push(Arc::clone(service.front.own_relay()));
            watchers.push(service.watcher);
            watchers.extend(service.spare.map(|spare| spare.watcher));
        }
        let ended = tokio::select! {
            () = self.drain.done(&self.tasks, || relays.iter().any(|r| r.is_busy())) => Ok(()),
            reason = fatal(&mut self.fatal) => Err(StartError::Upstream(reason)),
        };
        stop.cancel();
        join_all(watchers.into_iter().map(Watcher::stop)).await;
        ended
    }
}

async fn fatal(reasons: &mut watch::Receiver<Option<String>>) -> String {
    let reason = match reasons.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone(),
        Err(_) => None,
    };
    match reason {
        Some(reason) => reason,
        None => std::future::pending().await,
    }
}

async fn bind_admin(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Bind {
            address: address.to_string(),
            setting: "--admin",
            source,
        })
}

/// Forgets old pins, once in a while.
async fn upkeep(front: std::sync::Weak<Frontend>) {
    loop {
        tokio::time::sleep(Duration::from_secs(30)).await;
        let Some(front) = front.upgrade() else { return };
        front.own_relay().expire_pins();
    }
}
