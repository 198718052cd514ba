//! Health, status and metrics over HTTP, answered from cached state.
//!
//! | path | answer |
//! |---|---|
//! | `/live` | 200 while the process can answer |
//! | `/ready` | 200 when a node can serve and Weir is not leaving, else 503 and why |
//! | `/status` | everything `weir status` shows, as JSON |
//! | `/metrics` | Prometheus text |

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::Mutex;
use tokio::{net::TcpListener, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    downstream::Frontend,
    drain::Drain,
    metrics::waits::WaitTimes,
    topology::{Node, NodeKind},
};

pub mod status;

pub use status::{NodeStatus, ServiceStatus, Status};

/// How often the recorder is tidied up.
const TIDY_EVERY: Duration = Duration::from_secs(5);

/// A browser that sends nothing is not waited for longer.
const HEADER_TIME: Duration = Duration::from_secs(10);

/// What the admin server sees of one listener.
pub struct View {
    pub(crate) name: String,
    pub(crate) upstream: String,
    pub(crate) max_connections: usize,
    pub(crate) monitor_sockets: usize,
    pub(crate) front: Arc<Frontend>,
}

impl View {
    /// Whether a node takes writes now: a primary, a mongos or a load balancer.
    #[must_use]
    pub fn takes_writes(&self) -> bool {
        let snapshot = self.front.cluster().snapshot();
        let routes = |node: &Node| matches!(node.kind, NodeKind::Mongos | NodeKind::LoadBalancer);
        snapshot.primary().is_some() || snapshot.nodes.iter().any(routes)
    }

    /// Waits for a connection since the first call, by lane: normal, finishing, awaiting.
    #[must_use]
    pub fn waits(&self) -> [WaitTimes; 3] {
        self.front.metrics.waits()
    }

    /// Errors of Weir's own since the start, by cause.
    #[must_use]
    pub fn failures(&self) -> Vec<(&'static str, usize)> {
        self.front.metrics.failures()
    }
}

/// The state behind the admin address.
pub struct Admin {
    pub(crate) views: Vec<View>,
    pub(crate) clients: Arc<AtomicUsize>,
    pub(crate) drain: Drain,
    pub(crate) started: Instant,
}

impl Admin {
    /// An admin over these listeners.
    #[must_use]
    pub fn new(views: Vec<View>, clients: Arc<AtomicUsize>, drain: Drain) -> Self {
        Self {
            views,
            clients,
            drain,
            started: Instant::now(),
        }
    }

    fn answer(&self, path: &str) -> (StatusCode, &'static str, String) {
        const TEXT: &str = "text/plain; charset=utf-8";
        match path {
            "/live" => (StatusCode::OK, TEXT, "live\n".to_owned()),
            "/ready" => match self.unready() {
                None => (StatusCode::OK, TEXT, "ready\n".to_owned()),
                Some(why) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n")),
            },
            "/status" | "/" => {
                let status = serde_json::to_string_pretty(&self.status()).unwrap_or_default();
                (StatusCode::OK, "application/json", status)
            }
            "/metrics" => {
                let text = recorder().map(|handle| handle.render()).unwrap_or_default();
                (StatusCode::OK, "text/plain; version=0.0.4", text)
            }
            _ => {
                let text = "try /live, /ready, /status or /metrics\n";
                (StatusCode::NOT_FOUND, TEXT, text.to_owned())
            }
        }
    }

    /// Why Weir should get no new clients; `None`: it should.
    fn unready(&self) -> Option<String> {
        if self.drain.has_begun() {
            return Some("this Weir is leaving".to_owned());
        }
        let dead = self.views.iter().find(|view| {
            let snapshot = view.front.cluster().snapshot();
            !snapshot.nodes.iter().any(|node| node.kind.holds_data())
        });
        dead.map(|view| format!("listener '{}': no database node can serve", view.name))
    }

    pub(crate) fn clients_now(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }
}

/// Serves HTTP until `stop`.
pub async fn serve(listener: TcpListener, admin: Arc<Admin>, stop: CancellationToken) {
    tokio::spawn(
        stop.clone()
            .run_until_cancelled_owned(run_upkeep_every(TIDY_EVERY)),
    );
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let admin = Arc::clone(&admin);
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let (code, kind, text) = admin.answer(request.uri().path());
                async move { Ok::<_, Infallible>(response(code, kind, text)) }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIME)
                .serve_connection(TokioIo::new(stream), service);
            drop(served.await);
        });
    }
}

/// The recorder keeps every single value of a histogram until somebody asks for `/metrics` or
/// tidies up; where nobody asks, memory would grow with every operation.
pub async fn run_upkeep_every(every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        if let Some(recorder) = recorder() {
            recorder.run_upkeep();
        }
    }
}

fn response(code: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = code;
    let kind = hyper::header::HeaderValue::from_static(kind);
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, kind);
    response
}

static RECORDER: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// Upper bounds of the histograms' buckets, in seconds. Buckets can be added up over several
/// Weirs, as quantiles cannot, and cost an operation a tenth of what those do.
const WAIT_BUCKETS: [f64; 16] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// The process's metrics recorder; installed by the first call.
#[must_use]
pub fn recorder() -> Option<PrometheusHandle> {
    let mut recorder = RECORDER.lock();
    if recorder.is_none() {
        let builder = metrics_exporter_prometheus::PrometheusBuilder::new();
        let builder = builder.set_buckets(&WAIT_BUCKETS);
        *recorder = builder.and_then(|builder| builder.install_recorder()).ok();
    }
    recorder.clone()
}
