//! `--as service`: simulated environments, and one Weir in this process.

use std::net::SocketAddr;

use super::{BORROWED_DATABASE, CAP, DATABASE, Show};
use crate::args::DemoArgs;
use crate::endpoint::{Weir, WeirSettings, free_address};
use crate::error::{DemoError, Doing};
use crate::phase::Crowd;
use crate::report::Report;
use crate::seed;
use crate::stage::Stage;
use weir::limits;
use weir::proxy::StartError;
use weir_kit::mongod::Binary;
use weir_kit::numbers::count;
use weir_kit::screen::Screen;

/// Where clients of MongoDB look first.
const PORT: u16 = 27_017;
/// Where Weir's status is elsewhere, too.
const ADMIN_PORT: u16 = 9_604;
/// How often Weir is started on other ports when one was taken meanwhile.
const ATTEMPTS: u32 = 3;
/// Files that are not sockets of students.
const OTHER_FILES: u64 = 200;

/// Both ends of every socket through Weir are in this process.
pub(super) fn students_that_fit(args: &DemoArgs, screen: &Screen) -> u32 {
    let limit = limits::raise_open_files();
    let each = u64::from(args.monitoring.sockets()) * 2;
    let fit = u32::try_from(limit.saturating_sub(OTHER_FILES) / each).unwrap_or(u32::MAX);
    if fit < args.clients {
        screen.remark(&format!(
            "This system lets a process open {} files, enough for {} of {} students.",
            count(limit),
            count(fit.into()),
            count(args.clients.into()),
        ));
    }
    fit.clamp(1, args.clients)
}

impl Show<'_> {
    /// Both phases, or on somebody else's server the second.
    pub(super) async fn service(
        &self,
        stage: &mut Stage,
    ) -> Result<(Option<Report>, Report), DemoError> {
        if let Some(uri) = &self.args.upstream {
            return Ok((None, self.borrowed(stage, uri).await?));
        }
        let binary = self.find_mongod().await?;
        let direct = self.directly(stage, &binary).await?;
        Ok((Some(direct), self.through_weir(stage, &binary).await?))
    }

    async fn directly(&self, stage: &mut Stage, binary: &Binary) -> Result<Report, DemoError> {
        self.screen.heading("1. Directly");
        let (address, _) = self.fresh_server(stage, binary).await?;
        let observer = self.observe(address).await?;
        let crowd = Crowd::Environments(self.args.monitoring);
        self.play(stage, address, DATABASE, Some(&observer), crowd)
            .await
    }

    async fn through_weir(&self, stage: &mut Stage, binary: &Binary) -> Result<Report, DemoError> {
        self.screen.heading("2. Through Weir");
        let (server, uri) = self.fresh_server(stage, binary).await?;
        // Before Weir's first connection, so that all of them are counted.
        let observer = self.observe(server).await?;
        let address = self.start_weir(stage, &uri).await?;
        let crowd = Crowd::Environments(self.args.monitoring);
        self.play(stage, address, DATABASE, Some(&observer), crowd)
            .await
    }

    async fn borrowed(&self, stage: &mut Stage, uri: &str) -> Result<Report, DemoError> {
        self.screen.heading("Through Weir");
        let address = self.start_weir(stage, uri).await?;
        self.borrow(stage, address).await?;
        let observer = self.observe(address).await.ok();
        let crowd = Crowd::Environments(self.args.monitoring);
        self.play(stage, address, BORROWED_DATABASE, observer.as_ref(), crowd)
            .await
    }

    async fn start_weir(&self, stage: &mut Stage, upstream: &str) -> Result<SocketAddr, DemoError> {
        let weir = self.bind_weir(upstream).await?;
        let (address, admin) = (weir.address, weir.admin);
        if address.port() != PORT {
            self.screen
                .remark(&format!("Port {PORT} is taken; Weir listens on {address}."));
        }
        if admin.port() != ADMIN_PORT {
            self.screen.remark(&format!(
                "Port {ADMIN_PORT} is taken; its status is on {admin}."
            ));
        }
        for warning in &weir.warnings {
            self.screen.remark(warning);
        }
        stage.weir = Some(weir);
        // Up is a Weir that has reached its server, as the other phase's is up.
        let mut connection = self.connect(address).await?;
        let reached = seed::ping(&mut connection).await;
        reached.doing("reaching the server")?;
        Ok(address)
    }

    async fn bind_weir(&self, upstream: &str) -> Result<Weir, DemoError> {
        let mut attempt = 1;
        loop {
            let settings = WeirSettings {
                upstream,
                listen: free_address(PORT)?,
                admin: free_address(ADMIN_PORT)?,
                max_connections: CAP,
            };
            match Weir::start(settings).await {
                // Somebody took the port between our look and our bind.
                Err(DemoError::Start(StartError::Bind { .. })) if attempt < ATTEMPTS => {
                    attempt += 1;
                }
                started => return started,
            }
        }
    }
}
