//! Many environments that start at once, directly and through shim, extension and a shared Weir.

use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use bson::{Document, doc};
use futures_util::future::join_all;
use mongodb::Collection;
use tokio::time::Instant;

use weir_tests::cluster::{Cluster, unique};
use weir_tests::lambda::environment::{Environment, Programs, Setting, VARIABLE};
use weir_tests::lambda::processes::Found;
use weir_tests::sockets;
use weir_tests::weir::WeirProcess;

/// What the shared Weir may open.
pub const CAP: u32 = 20;
/// What the server takes, as a small tier does.
pub const SERVER_LIMIT: u32 = 500;
/// Between two looks at the sockets.
const EVERY: Duration = Duration::from_millis(50);

/// What a storm came to on one endpoint.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Environments that were started.
    pub environments: usize,
    /// Most connections of the server at one moment, from the kernel's table.
    pub server: usize,
    /// Most connections of the shared Weir, where there is one.
    pub service: Option<usize>,
    /// What went wrong.
    pub errors: Vec<String>,
    /// Documents in the database afterwards: one for each environment.
    pub written: u64,
    /// From the start of each environment to the first result of its function.
    pub firsts: Vec<Duration>,
    /// Until the last of them had its first result.
    pub all: Duration,
    /// Memory of the functions, in bytes.
    pub functions: u64,
    /// Memory of the extensions.
    pub extensions: u64,
    /// Memory of the server.
    pub mongod: u64,
}

impl Outcome {
    /// The time that this part of the environments did not exceed.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.firsts.clone();
        sorted.sort();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }

    /// Checks the layer's promises: the cap, no error, nothing lost, and to the shared Weir one
    /// connection of each environment and its reserve at most.
    ///
    /// # Errors
    /// The first that it did not keep.
    pub fn keeps_its_promises(&self) -> Result<()> {
        let all = self.environments;
        ensure!(self.errors.is_empty(), "errors: {:?}", self.errors);
        ensure!(self.server <= CAP as usize, "{} connections", self.server);
        ensure!(self.firsts.len() == all, "{} answered", self.firsts.len());
        ensure!(self.written == all as u64, "{} writes found", self.written);
        let trunks = self.service.unwrap_or_default();
        ensure!(trunks <= 2 * all, "{trunks} connections to the shared Weir");
        Ok(())
    }
}

/// Both endpoints, each with a server of its own.
///
/// # Errors
/// When something does not start. What the environments meet is in the outcomes.
pub async fn both(environments: usize) -> Result<[Outcome; 2]> {
    let programs = Programs::find().await?;
    Ok([
        run(&programs, environments, false).await?,
        run(&programs, environments, true).await?,
    ])
}

async fn run(programs: &Programs, environments: usize, layer: bool) -> Result<Outcome> {
    let stage = Stage::set(layer).await?;
    let sockets = Peaks::start(stage.ports())?;
    let mark = unique("storm");
    let settings = (0..environments).map(|number| Setting {
        name: format!("{mark}-{number}"),
        layer,
        variables: stage.variables.clone(),
    });
    let settings: Vec<Setting> = settings.collect();
    let began = Instant::now();
    let started = settings.iter();
    let started = join_all(started.map(|setting| Environment::start(programs, setting))).await;
    let all = began.elapsed();

    let (mut running, mut errors) = (Vec::new(), Vec::new());
    for one in started {
        match one {
            Ok(environment) => running.push(environment),
            Err(error) => errors.push(format!("{error:#}")),
        }
    }
    errors.extend(running.iter().filter_map(|one| one.first.error.clone()));
    if layer {
        let astray = running.iter().filter(|one| !one.is_moved()).count();
        errors.extend((astray > 0).then(|| format!("{astray} functions went directly")));
    }
    let peaks = sockets.finish()?;
    let most = |port: u16| peaks.get(&port).copied().unwrap_or_default();
    let sum = |of: fn(&Environment) -> Option<u64>| running.iter().filter_map(of).sum();
    Ok(Outcome {
        environments,
        server: most(stage.port).saturating_sub(stage.before),
        service: stage.service().map(most),
        errors,
        written: stage.things.count_documents(doc! {}).await?,
        firsts: running.iter().map(|one| one.first.took).collect(),
        all,
        functions: sum(Environment::function_memory),
        extensions: sum(Environment::extension_memory),
        mongod: stage.memory()?,
    })
}

/// The server, and the shared Weir where there is one.
struct Stage {
    cluster: Cluster,
    weir: Option<WeirProcess>,
    variables: BTreeMap<String, String>,
    things: Collection<Document>,
    port: u16,
    /// Sockets to the server that are not the storm's.
    before: usize,
}

impl Stage {
    async fn set(layer: bool) -> Result<Self> {
        let cluster = Cluster::builder()
            .login()
            .max_connections(SERVER_LIMIT)
            .start()
            .await?;
        let mut variables = BTreeMap::from([(VARIABLE.to_owned(), cluster.uri())]);
        let database = cluster.client().await?.database("lambda_functions");
        let things = database.collection::<Document>("storm");
        // Opens the sockets that are counted before.
        things.count_documents(doc! {}).await?;
        let port = cluster.member(0)?.address().port();
        let before = sockets::to_port(port)?;
        let mut weir = None;
        if layer {
            let started = WeirProcess::builder()
                .upstream(cluster.uri())
                .args(&["--max-connections", &CAP.to_string()])
                .start()
                .await?;
            variables.insert("WEIR_SERVICE".into(), started.address().to_string());
            weir = Some(started);
        }
        Ok(Self {
            cluster,
            weir,
            variables,
            things,
            port,
            before,
        })
    }

    fn service(&self) -> Option<u16> {
        self.weir.as_ref().map(|weir| weir.address().port())
    }

    fn ports(&self) -> Vec<u16> {
        [Some(self.port), self.service()]
            .into_iter()
            .flatten()
            .collect()
    }

    /// The server's memory, in bytes.
    fn memory(&self) -> Result<u64> {
        let pid = self
            .cluster
            .member(0)?
            .pid()
            .context("the server is gone")?;
        let name = String::new();
        Ok(Found { pid, name }.resident().unwrap_or_default())
    }
}

/// Looks at the kernel's table again and again, and keeps the most sockets to each port.
struct Peaks {
    stop: Sender<()>,
    thread: JoinHandle<BTreeMap<u16, usize>>,
}

impl Peaks {
    fn start(ports: Vec<u16>) -> Result<Self> {
        let (stop, stopped) = channel();
        let watch = move || {
            let mut most: BTreeMap<u16, usize> = BTreeMap::new();
            loop {
                let goes_on = stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout);
                // Once more when it is told to end: everything is still there.
                for (port, now) in sockets::to_ports(&ports).unwrap_or_default() {
                    let most = most.entry(port).or_default();
                    *most = now.max(*most);
                }
                if !goes_on {
                    return most;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("sockets".into())
            .spawn(watch)?;
        Ok(Self { stop, thread })
    }

    fn finish(self) -> Result<BTreeMap<u16, usize>> {
        drop(self.stop);
        self.thread
            .join()
            .map_err(|_| anyhow!("the look at the sockets panicked"))
    }
}
