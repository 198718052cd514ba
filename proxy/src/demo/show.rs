//! The show itself: from the introduction to the strings to try.

use std::net::SocketAddr;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::args::{DemoArgs, Road};
use super::client::Connection;
use super::endpoint::{Weir, WeirSettings, free_address};
use super::error::{DemoError, Doing};
use super::exam::Exam;
use super::messages::Messages;
use super::mongod::Binary;
use super::numbers::count;
use super::observer::Observer;
use super::paint::Style;
use super::phase::{Crowd, Phase};
use super::report::Report;
use super::screen::Screen;
use super::stage::Stage;
use super::table::{self, Column};
use super::{Setting, fleet, seed, verdict, words};
use crate::limits;
use crate::proxy::StartError;

/// What the server of our own accepts: the limit of a small tier.
const SERVER_LIMIT: u32 = 500;
/// What Weir may open.
const CAP: u32 = 20;
/// Where clients of MongoDB look first.
const PORT: u16 = 27_017;
/// Where Weir's status is elsewhere, too.
const ADMIN_PORT: u16 = 9_604;
/// How often Weir is started on other ports when one was taken meanwhile.
const ATTEMPTS: u32 = 3;
/// Files besides the sockets of the students.
const OTHER_FILES: u64 = 200;
/// The database on a server of our own.
const DATABASE: &str = "quiz";
/// The database on somebody else's server.
const BORROWED_DATABASE: &str = "weir_demo";

mod sidecars;

/// From the introduction to the strings to try.
pub(super) async fn show(
    args: &DemoArgs,
    setting: &Setting,
    screen: &Screen,
    stage: &mut Stage,
) -> Result<(), DemoError> {
    let students = match args.road {
        Road::Service => students_that_fit(args, screen),
        // Their sockets are those of other processes.
        Road::Sidecar => args.clients,
    };
    let exam = args.exam(students);
    screen.heading("Weir demo");
    let server_limit = args.upstream.is_none().then_some(SERVER_LIMIT);
    screen.say(&words::introduction(&exam, args, server_limit, CAP));

    let show = Show {
        args,
        setting,
        screen,
        exam,
    };
    let (direct, through) = show.phases(stage).await?;
    show.results(direct.as_ref(), &through);
    let weir = stage.weir.as_ref().map(|weir| (weir.address, weir.admin));
    let sidecar = stage.sidecars.first().map(|one| (one.address, one.admin));
    // With --exit it is about to end.
    if let Some((address, admin)) = weir.or(sidecar).filter(|_| !args.exit) {
        let database = stage.borrowed.unwrap_or(DATABASE);
        screen.heading(match args.road {
            Road::Service => "It is still up. Try it:",
            Road::Sidecar => "The sidecars are still up. Try the first:",
        });
        screen.say(&words::next_steps(address, admin, database));
    }
    Ok(())
}

/// Both ends of every socket through Weir are in this process.
fn students_that_fit(args: &DemoArgs, screen: &Screen) -> u32 {
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

/// What all parts of the show need.
struct Show<'a> {
    args: &'a DemoArgs,
    setting: &'a Setting,
    screen: &'a Screen,
    exam: Exam,
}

impl Show<'_> {
    /// Plays them; the direct one is left out on somebody else's server.
    async fn phases(&self, stage: &mut Stage) -> Result<(Option<Report>, Report), DemoError> {
        let python = match self.args.road {
            Road::Service => None,
            Road::Sidecar => Some(self.find_python().await?),
        };
        if let Some(uri) = &self.args.upstream {
            let through = match &python {
                None => self.borrowed(stage, uri).await?,
                Some(python) => self.fleet_borrowed(stage, uri, python).await?,
            };
            return Ok((None, through));
        }
        let binary = self.find_mongod().await?;
        let began = Instant::now();
        let (direct, through) = match &python {
            None => (
                self.directly(stage, &binary).await?,
                self.through_weir(stage, &binary).await?,
            ),
            Some(python) => (
                self.fleet_directly(stage, &binary, python).await?,
                self.fleet_through_sidecars(stage, &binary, python).await?,
            ),
        };
        let took = began.elapsed().as_secs_f64();
        self.screen.remark(&format!("Both took {took:.0} s."));
        Ok((Some(direct), through))
    }

    async fn find_mongod(&self) -> Result<Binary, DemoError> {
        self.screen
            .step("Looking for mongod; without one, a build is fetched once (42 MB)");
        let surroundings = self.setting.surroundings.clone();
        let found = spawn_blocking(move || Binary::find(&surroundings)).await;
        let binary = found.map_err(std::io::Error::other)??;
        self.screen
            .remark(&format!("mongod: {}", binary.path.display()));
        Ok(binary)
    }

    async fn directly(&self, stage: &mut Stage, binary: &Binary) -> Result<Report, DemoError> {
        self.screen.heading("1. Directly");
        let (address, _) = self.fresh_server(stage, binary).await?;
        let observer = self.observe(address).await?;
        let crowd = Crowd::Environments(self.args.monitoring);
        self.play(address, DATABASE, Some(&observer), crowd).await
    }

    async fn through_weir(&self, stage: &mut Stage, binary: &Binary) -> Result<Report, DemoError> {
        self.screen.heading("2. Through Weir");
        let (server, uri) = self.fresh_server(stage, binary).await?;
        // Before Weir's first connection, so that all of them are counted.
        let observer = self.observe(server).await?;
        let address = self.start_weir(stage, &uri).await?;
        let crowd = Crowd::Environments(self.args.monitoring);
        self.play(address, DATABASE, Some(&observer), crowd).await
    }

    async fn borrowed(&self, stage: &mut Stage, uri: &str) -> Result<Report, DemoError> {
        self.screen.heading("Through Weir");
        let address = self.start_weir(stage, uri).await?;
        self.borrow(stage, address).await?;
        let observer = self.observe(address).await.ok();
        let crowd = Crowd::Environments(self.args.monitoring);
        self.play(address, BORROWED_DATABASE, observer.as_ref(), crowd)
            .await
    }

    /// Makes a database of our own on somebody else's server, unless it is taken.
    async fn borrow(&self, stage: &mut Stage, address: SocketAddr) -> Result<(), DemoError> {
        let mut connection = self.connect(address).await?;
        let stranger = seed::stranger(&mut connection, BORROWED_DATABASE).await;
        if let Some(collection) = stranger.doing("looking into the database weir_demo")? {
            return Err(DemoError::Stranger {
                database: BORROWED_DATABASE,
                collection,
            });
        }
        stage.borrowed = Some(BORROWED_DATABASE);
        // An earlier demo may have been killed before it could clean up.
        let removed = seed::remove(&mut connection, BORROWED_DATABASE).await;
        removed.doing("dropping the database weir_demo")?;
        self.seed(&mut connection, BORROWED_DATABASE).await
    }

    async fn fresh_server(
        &self,
        stage: &mut Stage,
        binary: &Binary,
    ) -> Result<(SocketAddr, String), DemoError> {
        self.screen.step("Starting a replica set of one node");
        let temporary = &self.setting.surroundings.temporary;
        let (address, uri) = stage.fresh_server(binary, temporary, SERVER_LIMIT).await?;
        let mut connection = self.connect(address).await?;
        self.seed(&mut connection, DATABASE).await?;
        Ok((address, uri))
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

    async fn connect(&self, address: SocketAddr) -> Result<Connection, DemoError> {
        let opened = Connection::open(address, &Messages::new(DATABASE)).await;
        Ok(opened.doing("connecting")?.0)
    }

    async fn seed(&self, connection: &mut Connection, database: &str) -> Result<(), DemoError> {
        self.screen.step("Putting the quiz into the database");
        let filled = seed::fill(connection, database, self.exam.students).await;
        filled.doing("putting the quiz into the database")
    }

    async fn observe(&self, address: SocketAddr) -> Result<Observer, DemoError> {
        let observer = Observer::start(address, &Messages::new(DATABASE)).await;
        observer.doing("asking for serverStatus")
    }

    async fn play(
        &self,
        address: SocketAddr,
        database: &str,
        observer: Option<&Observer>,
        crowd: Crowd<'_>,
    ) -> Result<Report, DemoError> {
        let phase = Phase {
            exam: &self.exam,
            crowd,
            address,
            database,
            observer,
            // A server of our own is used by nobody else.
            alone: self.args.upstream.is_none(),
        };
        phase.play(self.screen).await
    }

    /// What all Weirs together may open.
    fn cap(&self) -> u64 {
        let weirs = match self.args.road {
            Road::Service => 1,
            Road::Sidecar => fleet::TASKS as u64,
        };
        weirs * u64::from(CAP)
    }

    fn results(&self, direct: Option<&Report>, through: &Report) {
        let directly = direct.map(|report| Column {
            title: "directly",
            report,
            limit: Some(SERVER_LIMIT.into()),
        });
        let columns: Vec<_> = directly
            .into_iter()
            .chain([Column {
                title: match self.args.road {
                    Road::Service => "through Weir",
                    Road::Sidecar => "through 3 sidecars",
                },
                report: through,
                limit: Some(self.cap()),
            }])
            .collect();
        self.screen.say("");
        self.screen.say(&table::render(&columns, self.screen.paint));
        for column in &columns {
            if let Some(error) = &column.report.surprise {
                self.screen.remark(&format!(
                    "First error in an answer, {}: {error}",
                    column.title
                ));
            }
        }
        let verdict = verdict::verdict(direct, through, self.cap());
        let verdict = words::wrap(&verdict);
        self.screen
            .say(&self.screen.paint.apply(Style::Bold, &verdict));
    }
}
