//! The life of one environment, carried out.

use std::pin::pin;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep};
use weir::{Controls, Tally};

use crate::api::{Api, ApiError, News, Registered};
use crate::emf::Emf;
use crate::env::Env;
use crate::failover::Failover;
use crate::lifecycle::{Lifecycle, Step};
use crate::log;
use crate::post_invoke::PostInvoke;
use crate::settings::Settings;
use crate::start::{self, Refused, Serving};

/// For farewells at the end; 300 ms are there in all.
const CLOSE_TIME: Duration = Duration::from_millis(200);

/// How often counters are written where Lambda reports no invocations.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// Lambda registers an extension once: what follows a bad end goes on with what was registered
/// before it.
static REGISTERED: OnceLock<Registered> = OnceLock::new();

/// Serves the function until the environment ends.
pub(crate) async fn run(env: &Env) {
    let started = Instant::now();
    let settings = Settings::read(env);
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let (controls, failover) = if settings.off {
        tracing::info!("WEIR_EXTENSION_OFF is set: nobody is served");
        (None, None)
    } else {
        serve(env, &settings).await
    };
    let mut environment = Environment::new(env, &settings, controls);
    environment.failover = failover;
    let started = Some(started);
    environment.live(env, started, &REGISTERED).await;
}

/// Serves nobody, but answers Lambda until the environment ends.
pub(crate) async fn idle(env: &Env) {
    let settings = Settings::read(env);
    let mut environment = Environment::new(env, &settings, None);
    environment.live(env, None, &REGISTERED).await;
}

/// Starts to serve. Without controls: it cannot, which the log says.
async fn serve(env: &Env, settings: &Settings) -> (Option<Controls>, Option<Failover>) {
    match start::start(env, settings).await {
        Ok(Serving {
            proxy,
            controls,
            chosen,
            may_fall_back,
        }) => {
            tracing::info!(
                listen = %proxy.addresses().join(", "),
                upstream_from = %chosen.from,
                upstream_kind = ?chosen.upstream_kind,
                kind = ?env.kind(),
                "serving the function"
            );
            tokio::spawn(async move {
                if let Err(error) = proxy.run().await {
                    tracing::error!(
                        "the function is not served any more, and nobody listens: {error}"
                    );
                }
            });
            let (after, share) = (settings.fallback_after, settings.fallback_share);
            let failover =
                may_fall_back.then(|| Failover::look_after(controls.clone(), after, share));
            (Some(controls), failover)
        }
        Err(Refused { why, taken: true }) => {
            tracing::error!(
                "the function is not served, and the shim takes the program that listens there for the \
                 extension: {why}"
            );
            (None, None)
        }
        Err(Refused { why, .. }) => {
            tracing::error!(
                "the function is not served, and the shim leaves its connection string as it \
                 is: {why}"
            );
            (None, None)
        }
    }
}

/// What is needed to carry steps out.
struct Environment {
    life: Lifecycle,
    controls: Option<Controls>,
    failover: Option<Failover>,
    counters: Option<Emf>,
    notice: Duration,
    afterwards: PostInvoke,
}

impl Environment {
    fn new(env: &Env, settings: &Settings, controls: Option<Controls>) -> Self {
        let function = env.get("AWS_LAMBDA_FUNCTION_NAME").unwrap_or("unknown");
        let namespace = settings.namespace.as_deref();
        Self {
            life: Lifecycle::new(env.kind(), settings.stays() && controls.is_some()),
            afterwards: PostInvoke::new(settings),
            controls,
            failover: None,
            counters: namespace.map(|namespace| Emf::new(namespace, function)),
            notice: settings.notice,
        }
    }

    async fn live(&mut self, env: &Env, started: Option<Instant>, known: &OnceLock<Registered>) {
        let Ok(mut terminate) = signal(SignalKind::terminate()) else {
            return tracing::error!("signals cannot be received");
        };
        let Some(address) = env.get("AWS_LAMBDA_RUNTIME_API") else {
            tracing::warn!(
                "AWS_LAMBDA_RUNTIME_API is not set: this is not Lambda; serving until SIGTERM"
            );
            terminate.recv().await;
            return self.end("SIGTERM").await;
        };
        let api = Api::new(address, &env.name);
        let registered = match known.get() {
            Some(registered) => registered,
            None => match self.register(&api, &mut terminate).await {
                Some(registered) => known.get_or_init(|| registered),
                None => return self.end("SIGTERM").await,
            },
        };
        if let Some(started) = started {
            tracing::info!(
                init_ms = (started.elapsed().as_secs_f64() * 1e5).round() / 100.0,
                "registered"
            );
        }
        if self.life.stays() {
            self.afterwards.subscribe(&api, registered).await;
        }
        self.answer(&api, registered, &mut terminate).await;
    }

    /// Registers, however often it takes: Lambda waits for every extension. `None`: the end
    /// comes first.
    async fn register(&mut self, api: &Api, terminate: &mut Signal) -> Option<Registered> {
        loop {
            let events = self.life.events();
            let registered = tokio::select! {
                registered = api.register(events) => registered,
                _ = terminate.recv() => return None,
            };
            let pause = match registered {
                Ok(registered) => {
                    self.life.answered();
                    return Some(registered);
                }
                Err(error) if error.is_invalid_event() && self.life.is_managed_after_all() => {
                    tracing::info!("Lambda does not tell of invocations here");
                    Duration::ZERO
                }
                Err(error) => {
                    let pause = self.life.failed();
                    tracing::warn!(%error, "could not register; trying again in {pause:?}");
                    pause
                }
            };
            sleep(pause).await;
        }
    }

    /// Asks for events and does what they demand, until the end.
    async fn answer(&mut self, api: &Api, registered: &Registered, terminate: &mut Signal) {
        loop {
            let news = tokio::select! {
                news = self.next(api, registered) => news,
                _ = terminate.recv() => return self.end("SIGTERM").await,
            };
            let steps = match news {
                Ok(news) => {
                    self.life.answered();
                    self.life.on(news, wall_clock())
                }
                Err(error) => {
                    let pause = self.life.failed();
                    tracing::warn!(%error, "could not ask for the next event; trying again in {pause:?}");
                    vec![Step::Pause(pause), Step::Next]
                }
            };
            if self.carry_out(steps).await == Then::End {
                return;
            }
        }
    }

    /// The next event. Where Lambda reports no invocations, time passes meanwhile.
    async fn next(&mut self, api: &Api, registered: &Registered) -> Result<News, ApiError> {
        let mut next = pin!(api.next(registered));
        loop {
            let minute = async {
                match self.life.passes_time() {
                    true => sleep(REPORT_EVERY).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                news = &mut next => return news,
                () = minute => self.report(),
            }
        }
    }

    async fn carry_out(&mut self, steps: Vec<Step>) -> Then {
        for step in steps {
            match step {
                Step::Log(request) => {
                    log::belongs_to(&request);
                    if let Some(counters) = &mut self.counters {
                        counters.invoked();
                    }
                }
                Step::Renew => self.renew().await,
                Step::Wake => self.with(Controls::wake),
                Step::Deadline(left) => self.set_deadline(left),
                Step::Verify => self.verify(),
                Step::Report => self.report(),
                Step::Stay(request, left) => {
                    if let Some(controls) = &self.controls {
                        self.afterwards.wait(controls, &request, left).await;
                    }
                }
                Step::Pause(pause) => sleep(pause).await,
                Step::Warn(text) => tracing::warn!("{text}"),
                Step::Close(reason) => self.close(&reason).await,
                Step::Next => return Then::Next,
                Step::Exit => return Then::End,
            }
        }
        Then::Next
    }

    /// What the copied environment knew is another one's.
    async fn renew(&mut self) {
        self.with(Controls::renew);
        if let Some(failover) = &mut self.failover {
            failover.renew().await;
        }
    }

    fn with(&self, act: impl FnOnce(&Controls)) {
        if let Some(controls) = &self.controls {
            act(controls);
        }
    }

    fn set_deadline(&self, left: Option<Duration>) {
        self.with(|controls| match left {
            Some(left) => controls.work_until(Instant::now() + left, self.notice),
            None => controls.work_without_end(),
        });
    }

    /// Beside the function, which has begun already.
    fn verify(&self) {
        self.with(Controls::resume);
        if let Some(controls) = self.controls.clone() {
            tokio::spawn(async move { controls.verify().await });
        }
    }

    fn report(&mut self) {
        let tally = self
            .controls
            .as_ref()
            .map_or_else(Tally::default, Controls::tally);
        if let Some(counters) = &mut self.counters {
            counters.report(tally, wall_clock());
        }
    }

    async fn end(&mut self, reason: &str) {
        let steps = self.life.on_end(reason);
        self.carry_out(steps).await;
    }

    async fn close(&mut self, reason: &str) {
        self.report();
        if let Some(controls) = &self.controls {
            controls.close(CLOSE_TIME).await;
        }
        tracing::info!(reason, "the environment ends");
    }
}

/// What follows when steps have been carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Next,
    End,
}

fn wall_clock() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
