//! `--as lambda`: real functions under AWS's emulator, the layer, and two shared Weirs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{BORROWED_DATABASE, DATABASE, Show};
use crate::error::DemoError;
use crate::functions::{Configuration, FunctionPlan, Kit, put_code};
use crate::layer::Source;
use crate::phase::Crowd;
use crate::report::Report;
use crate::stage::Stage;
use weir_kit::emulator::{self, Isolation};
use weir_kit::process::Scratch;
use weir_kit::python;

/// Weirs that the environments share.
pub(super) const WEIRS: usize = 2;
/// What each of them may open.
pub(super) const CAP: u32 = 5;
/// A server that is filled by few environments, and still takes both Weirs.
pub(super) const SMALLEST_LIMIT: u32 = 12;

/// What both phases are made of.
struct Ground {
    scratch: Arc<Scratch>,
    kit: Kit,
    layer: PathBuf,
}

impl Show<'_> {
    /// Both phases, or on somebody else's server the second.
    pub(super) async fn lambda(
        &self,
        stage: &mut Stage,
    ) -> Result<(Option<Report>, Report), DemoError> {
        let ground = self.ground().await?;
        if let Some(uri) = &self.args.upstream {
            let through = self.functions_borrowed(stage, uri, &ground).await?;
            return Ok((None, through));
        }
        let binary = self.find_mongod().await?;
        self.screen.heading("1. Directly");
        let (address, uri) = self.fresh_server(stage, &binary).await?;
        let observer = self.observe(address).await?;
        let configurations = vec![self.configuration(&uri, DATABASE, None)];
        let plan = ground.plan(configurations, false);
        self.screen.step("Starting the environments");
        let crowd = Crowd::Functions(&plan);
        let direct = self
            .play(stage, address, DATABASE, Some(&observer), crowd)
            .await?;

        self.screen
            .heading("2. With the layer, through two shared Weirs");
        let (server, uri) = self.fresh_server(stage, &binary).await?;
        // Before the first Weir, so that all connections are counted.
        let observer = self.observe(server).await?;
        let weirs = self.start_processes(stage, &uri, WEIRS, CAP).await?;
        let plan = ground.plan(self.configurations(&uri, DATABASE, &weirs), true);
        self.screen.step("Starting the environments");
        let crowd = Crowd::Functions(&plan);
        let through = self
            .play(stage, server, DATABASE, Some(&observer), crowd)
            .await?;
        Ok((Some(direct), through))
    }

    async fn functions_borrowed(
        &self,
        stage: &mut Stage,
        uri: &str,
        ground: &Ground,
    ) -> Result<Report, DemoError> {
        self.screen
            .heading("With the layer, through two shared Weirs");
        let weirs = self.start_processes(stage, uri, WEIRS, CAP).await?;
        let Some(first) = weirs.first().copied() else {
            return Err(DemoError::Sidecar("there is none".to_owned()));
        };
        self.borrow(stage, first).await?;
        let observer = self.observe(first).await.ok();
        // Not the deployment's own string: whatever goes wrong, nobody connects directly.
        let own = format!("mongodb://{first}/");
        let plan = ground.plan(self.configurations(&own, BORROWED_DATABASE, &weirs), true);
        self.screen.step("Starting the environments");
        let crowd = Crowd::Functions(&plan);
        self.play(stage, first, BORROWED_DATABASE, observer.as_ref(), crowd)
            .await
    }

    /// Finds, fetches or builds all parts of an environment.
    async fn ground(&self) -> Result<Ground, DemoError> {
        let paths = self.setting.paths.clone();
        let source = Source::find(&paths, self.args.layer.as_deref())?;
        if matches!(source, Source::Checkout(_)) {
            self.screen.step(
                "Building weir-extension and weir-shim with cargo, the first time for minutes",
            );
        }
        let scratch = Scratch::new(&paths.temporary, "weir-functions")?;
        let unpacked = {
            let scratch = Arc::clone(&scratch);
            spawn_blocking(move || {
                put_code(&scratch.path().join("code"))?;
                std::fs::create_dir(scratch.path().join("nothing"))?;
                source.unpack(&scratch)
            })
        };
        let layer = unpacked.await.map_err(std::io::Error::other)??;
        self.screen.step(
            "Looking for AWS's emulator and PyMongo; without them, they are fetched once (13 MB)",
        );
        let made = spawn_blocking(move || {
            let isolation = Isolation::find().map_err(DemoError::Isolation)?;
            let fetched = |error: std::io::Error| DemoError::EmulatorMissing(error.to_string());
            let parts = paths.parts();
            let emulator = emulator::fetch(&parts).map_err(fetched)?;
            let python = python::for_lambda(&parts);
            let python = python.map_err(|error| DemoError::Python(error.to_string()))?;
            not_hidden(&[&emulator, &python])?;
            Ok::<_, DemoError>((isolation, emulator, python))
        });
        let (isolation, emulator, python) = made.await.map_err(std::io::Error::other)??;
        let kit = Kit {
            isolation,
            emulator,
            python,
            code: scratch.path().join("code"),
            layer: scratch.path().join("nothing"),
        };
        Ok(Ground {
            scratch,
            kit,
            layer,
        })
    }

    /// Half of the environments are sent to each Weir, as a balancer would.
    fn configurations(
        &self,
        uri: &str,
        database: &str,
        weirs: &[SocketAddr],
    ) -> Vec<Configuration> {
        let weirs = weirs.iter();
        weirs
            .map(|weir| self.configuration(uri, database, Some(*weir)))
            .collect()
    }

    fn configuration(
        &self,
        uri: &str,
        database: &str,
        service: Option<SocketAddr>,
    ) -> Configuration {
        let patience = self.exam.patience;
        let separator = if uri.contains('?') { '&' } else { '?' };
        Configuration {
            // A team that wants its own errors lets the driver give up before Lambda does.
            uri: format!(
                "{uri}{separator}serverSelectionTimeoutMS={}",
                patience.as_millis() / 2
            ),
            database: database.to_owned(),
            timeout: patience.as_secs() + 2,
            service,
        }
    }
}

/// Every environment has an `/opt` of its own: what lies in this machine's is not seen there.
fn not_hidden(files: &[&Path]) -> Result<(), DemoError> {
    let real = files.iter().filter_map(|file| file.canonicalize().ok());
    let mut hidden = real.filter(|file| file.starts_with("/opt"));
    match hidden.next() {
        None => Ok(()),
        Some(file) => Err(DemoError::Hidden(file)),
    }
}

impl Ground {
    fn plan(&self, configurations: Vec<Configuration>, layer: bool) -> FunctionPlan {
        let mut kit = self.kit.clone();
        if layer {
            kit.layer.clone_from(&self.layer);
        }
        FunctionPlan {
            kit,
            configurations,
            scratch: Arc::clone(&self.scratch),
        }
    }
}
