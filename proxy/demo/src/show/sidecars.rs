//! `--as sidecar`: three tasks of four worker processes, a sidecar each.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::{BORROWED_DATABASE, CAP, DATABASE, Show};
use crate::error::{DemoError, Doing};
use crate::fleet::{FleetPlan, TASKS};
use crate::phase::Crowd;
use crate::report::Report;
use crate::seed;
use crate::sidecar::Sidecar;
use crate::stage::Stage;
use weir_kit::mongod::Binary;
use weir_kit::process::Scratch;
use weir_kit::python;

/// Longest wait for a sidecar to answer.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Time between two attempts to connect to a sidecar that starts.
const CONNECT_INTERVAL: Duration = Duration::from_millis(50);

impl Show<'_> {
    /// The interpreter of the workers.
    async fn find_python(&self) -> Result<PathBuf, DemoError> {
        self.screen
            .step("Looking for PyMongo; without it, it is fetched once (4 MB)");
        let parts = self.setting.paths.parts();
        let made = spawn_blocking(move || python::environment(&parts, python::NEWEST)).await;
        let made = made.map_err(std::io::Error::other)?;
        made.map_err(|error| DemoError::Python(error.to_string()))
    }

    /// Both phases, or on somebody else's server the second.
    pub(super) async fn sidecar(
        &self,
        stage: &mut Stage,
    ) -> Result<(Option<Report>, Report), DemoError> {
        let python = self.find_python().await?;
        if let Some(uri) = &self.args.upstream {
            return Ok((None, self.fleet_borrowed(stage, uri, &python).await?));
        }
        let binary = self.find_mongod().await?;
        let direct = self.fleet_directly(stage, &binary, &python).await?;
        let through = self.fleet_through_sidecars(stage, &binary, &python);
        Ok((Some(direct), through.await?))
    }

    async fn fleet_directly(
        &self,
        stage: &mut Stage,
        binary: &Binary,
        python: &Path,
    ) -> Result<Report, DemoError> {
        self.screen.heading("1. Directly");
        let (address, uri) = self.fresh_server(stage, binary).await?;
        let observer = self.observe(address).await?;
        let fleet = self.fleet(python, vec![uri; TASKS], DATABASE);
        self.screen.step("Starting the workers");
        self.play(
            stage,
            address,
            DATABASE,
            Some(&observer),
            Crowd::Fleet(&fleet),
        )
        .await
    }

    async fn fleet_through_sidecars(
        &self,
        stage: &mut Stage,
        binary: &Binary,
        python: &Path,
    ) -> Result<Report, DemoError> {
        self.screen.heading("2. Through a sidecar in each task");
        let (server, uri) = self.fresh_server(stage, binary).await?;
        // Before the first sidecar, so that all connections are counted.
        let observer = self.observe(server).await?;
        let addresses = self.start_processes(stage, &uri, TASKS, CAP).await?;
        let fleet = self.fleet(python, strings(&addresses), DATABASE);
        self.screen.step("Starting the workers");
        self.play(
            stage,
            server,
            DATABASE,
            Some(&observer),
            Crowd::Fleet(&fleet),
        )
        .await
    }

    async fn fleet_borrowed(
        &self,
        stage: &mut Stage,
        uri: &str,
        python: &Path,
    ) -> Result<Report, DemoError> {
        self.screen.heading("Through a sidecar in each task");
        let addresses = self.start_processes(stage, uri, TASKS, CAP).await?;
        let Some(first) = addresses.first().copied() else {
            return Err(DemoError::Sidecar("there is none".to_owned()));
        };
        self.borrow(stage, first).await?;
        let observer = self.observe(first).await.ok();
        let fleet = self.fleet(python, strings(&addresses), BORROWED_DATABASE);
        self.screen.step("Starting the workers");
        let crowd = Crowd::Fleet(&fleet);
        self.play(stage, first, BORROWED_DATABASE, observer.as_ref(), crowd)
            .await
    }

    fn fleet(&self, python: &Path, uris: Vec<String>, database: &str) -> FleetPlan {
        FleetPlan {
            python: python.to_owned(),
            temporary: self.setting.paths.temporary.clone(),
            uris,
            database: database.to_owned(),
        }
    }

    /// Starts Weirs as processes of their own and waits until all have reached their server.
    pub(super) async fn start_processes(
        &self,
        stage: &mut Stage,
        upstream: &str,
        number: usize,
        cap: u32,
    ) -> Result<Vec<SocketAddr>, DemoError> {
        self.screen.step(&format!("Starting {number} Weirs"));
        let program = self.setting.paths.program.clone();
        let program = program.ok_or_else(|| {
            DemoError::Sidecar("the path of this program is not known".to_owned())
        })?;
        let temporary = self.setting.paths.temporary.clone();
        let upstream = upstream.to_owned();
        let spawned = spawn_blocking(move || {
            let scratch = Scratch::new(&temporary, "weir-sidecars")?;
            (0..number)
                .map(|_| Sidecar::spawn(&program, &upstream, cap, &scratch))
                .collect::<Result<Vec<_>, _>>()
        });
        stage.sidecars = spawned.await.map_err(std::io::Error::other)??;
        for sidecar in &stage.sidecars {
            self.wait_for(sidecar).await?;
        }
        Ok(stage.sidecars.iter().map(|one| one.address).collect())
    }

    /// Up is a sidecar that has reached its server.
    async fn wait_for(&self, sidecar: &Sidecar) -> Result<(), DemoError> {
        let end = Instant::now() + START_LIMIT;
        loop {
            if let Some(last) = sidecar.obituary() {
                return Err(DemoError::Sidecar(last));
            }
            match self.connect(sidecar.address).await {
                Ok(mut connection) => {
                    let reached = seed::ping(&mut connection).await;
                    return reached.doing("reaching the server");
                }
                Err(error) if Instant::now() >= end => return Err(error),
                Err(_) => sleep(CONNECT_INTERVAL).await,
            }
        }
    }
}

/// What the workers of each task are told: their own sidecar.
fn strings(addresses: &[SocketAddr]) -> Vec<String> {
    let addresses = addresses.iter();
    addresses
        .map(|address| format!("mongodb://{address}/"))
        .collect()
}
