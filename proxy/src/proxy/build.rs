//! Builds the parts of one listener from its configuration.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::{
    cluster::{Cluster, PoolSettings},
    config::{Config, ListenerConfig, tls},
    downstream::{
        ClientLimit, Frontend,
        auth::Authenticator,
        frontend::{FIRST_CONTACT, Presentation},
    },
    drain::Drain,
    limits,
    listener::Admission,
    metrics::Metrics,
    pool::Limits,
    proxy::{Service, StartError, watcher::Watcher},
    random,
    relay::{Relay, RelaySettings, budget::Budget},
    route::Rules,
    scram::keys::SaltSource,
    socket::Keepalive,
    topology::monitor::Monitor,
    upstream::Connector,
};

/// Builds the parts of one listener.
pub(super) struct Build<'a> {
    pub(super) config: &'a Config,
    pub(super) listener: &'a ListenerConfig,
    pub(super) drain: &'a Drain,
    pub(super) process_id: [u8; 12],
}

/// Nodes that a name may stand for.
const NODES_OF_A_SET: usize = 3;

impl Build<'_> {
    pub(super) fn service(
        &self,
        budget: &Arc<Budget>,
        fatal: &watch::Sender<Option<String>>,
    ) -> Result<Service, StartError> {
        let listener = self.listener;
        let upstream = &listener.upstream;
        let topology = Monitor::topology(&upstream.seed.client_options());
        let metrics = Metrics::new(&listener.name);
        let connector = Arc::new(Connector::new(upstream, self.process_id)?);
        let cluster = Cluster::start(
            topology.clone(),
            self.pool_settings(),
            connector,
            fatal.clone(),
        );
        let watcher = Watcher::start(&upstream.seed, &topology, listener.freezing)?;
        let relay = Relay::new(
            self.relay_settings(),
            cluster,
            Arc::clone(budget),
            Arc::clone(&metrics),
        );
        let salts = SaltSource::new(random::secret());
        let authenticator = Arc::new(Authenticator::new(
            upstream.credential.iter().chain(&listener.further_logins),
            salts,
        ));
        let spare = self.spare(budget)?.map(Box::new);
        let front = Frontend::new(
            Arc::new(relay),
            spare
                .as_ref()
                .map(|spare| Arc::clone(spare.front.own_relay())),
            authenticator,
            self.presentation(),
            metrics,
            self.drain.clone(),
            self.process_id,
        );
        Ok(Service {
            name: listener.name.clone(),
            upstream: upstream.redacted().to_owned(),
            max_connections: listener.max_connections,
            monitor_sockets: upstream.monitor_sockets(),
            front,
            watcher,
            spare,
            bound: Vec::new(),
        })
    }

    /// Where work goes that this one cannot serve.
    fn spare(&self, budget: &Arc<Budget>) -> Result<Option<Service>, StartError> {
        let Some(listener) = self.listener.spare.as_deref() else {
            return Ok(None);
        };
        let build = Build { listener, ..*self };
        // What can never be served there ends nothing here.
        match build.service(budget, &watch::Sender::new(None)) {
            Err(StartError::Setup(error)) => {
                tracing::warn!(listener = listener.name, %error, "no fallback upstream is available for this listener");
                Ok(None)
            }
            built => built.map(Some),
        }
    }

    fn relay_settings(&self) -> RelaySettings {
        let listener = self.listener;
        let upstream = &listener.upstream;
        RelaySettings {
            queue_timeout: listener.queue_timeout,
            hold_timeout: listener.hold_timeout,
            probe_cursors: listener.probe_cursors,
            rules: Rules {
                local_threshold: upstream.local_threshold,
                heartbeat: upstream.heartbeat,
            },
            host_deadline: listener.freezing.map(|_| &*Box::leak(Box::default())),
        }
    }

    fn presentation(&self) -> Presentation {
        let freezing = self.listener.freezing;
        Presentation {
            streaming: self.listener.streaming_hello,
            max_wire_version: self.listener.max_wire_version,
            fallback_wire_version: self.listener.wire_version,
            load_balanced_only: self.listener.load_balanced_only,
            first_contact: freezing.map_or(FIRST_CONTACT, |freezing| freezing.hello_wait),
            test_commands: self.config.enable_test_commands,
        }
    }

    fn pool_settings(&self) -> PoolSettings {
        let listener = self.listener;
        let spacing = listener.connect_rate.filter(|rate| *rate > 0.0);
        let spacing = spacing.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(1.0 / rate));
        PoolSettings {
            limits: Limits {
                slots: listener.data_connections(),
                depth: listener.queue_depth,
                min: listener.min_connections,
                max_connecting: listener.max_connecting,
                idle_time: listener.max_idle_time,
                connect_spacing: spacing,
                affinity: listener.upstream.load_balanced,
            },
            lifetime: listener.connection_lifetime,
            freezing: listener.freezing,
        }
    }

    pub(super) fn admission(
        &self,
        front: &Arc<Frontend>,
        must_log_in: bool,
        clients: &Arc<AtomicUsize>,
        tasks: &TaskTracker,
    ) -> Result<Admission, StartError> {
        let config = self.config;
        let tls = self
            .listener
            .tls
            .as_ref()
            .map(tls::server_config)
            .transpose()?;
        let probes = 9;
        let silence = config
            .client_dead_after
            .saturating_sub(config.client_keepalive);
        Ok(Admission {
            frontend: Arc::clone(front),
            tls: tls.map(|config| TlsAcceptor::from(Arc::new(config))),
            must_log_in,
            turns: Admission::turns(),
            keepalive: Keepalive {
                idle: config.client_keepalive,
                interval: (silence / probes).max(Duration::from_secs(1)),
                probes,
                user_timeout: Some(config.client_dead_after),
            },
            client_limit: ClientLimit::new(clients, config.max_clients, files_for_clients(config)),
            tasks: tasks.clone(),
        })
    }
}

/// Files that clients may take: the upstream keeps its own, its monitors' two for each node too.
fn files_for_clients(config: &Config) -> usize {
    let own = config.listeners.iter().map(|listener| {
        let nodes = listener.upstream.hosts.len().max(NODES_OF_A_SET);
        nodes * (listener.data_connections() + 2)
    });
    limits::clients_within(limits::open_files(), own.sum())
}
