//! The show itself: from the introduction to the strings to try.

use std::net::SocketAddr;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::args::{DemoArgs, Scenario};
use crate::error::{DemoError, Doing};
use crate::exam::Exam;
use crate::functions::{SOCKETS, bearable};
use crate::observer::Observer;
use crate::phase::{Crowd, Phase};
use crate::report::Report;
use crate::stage::Stage;
use crate::table::{self, Column};
use crate::{Setting, fleet, seed, verdict, words};
use weir_kit::client::Connection;
use weir_kit::messages::Messages;
use weir_kit::mongod::Binary;
use weir_kit::numbers::count;
use weir_kit::paint::Style;
use weir_kit::screen::Screen;

/// What the server of our own accepts: the limit of a small tier.
const SERVER_LIMIT: u32 = 500;
/// What Weir may open.
const CAP: u32 = 20;
/// The database on a server of our own.
const DATABASE: &str = "quiz";
/// The database on somebody else's server.
const BORROWED_DATABASE: &str = "weir_demo";

mod functions;
mod service;
mod sidecars;

/// From the introduction to the strings to try.
pub(super) async fn show(
    args: &DemoArgs,
    setting: &Setting,
    screen: &Screen,
    stage: &mut Stage,
) -> Result<(), DemoError> {
    let students = match args.scenario {
        Scenario::Service => service::students_that_fit(args, screen),
        // Their sockets are those of other processes.
        Scenario::Sidecar => args.clients,
        Scenario::Lambda => environments_that_fit(args, screen),
    };
    let exam = args.exam(students);
    screen.heading("Weir demo");
    let show = Show {
        args,
        setting,
        screen,
        exam,
    };
    let server_limit = args.upstream.is_none().then(|| show.server_limit());
    screen.say(&words::introduction(
        &exam,
        args,
        server_limit,
        show.cap_of_one(),
    ));
    let (direct, through) = show.phases(stage).await?;
    show.results(direct.as_ref(), &through);
    let weir = stage.weir.as_ref().map(|weir| (weir.address, weir.admin));
    let sidecar = stage.sidecars.first().map(|one| (one.address, one.admin));
    // With --exit it is about to end.
    if let Some((address, admin)) = weir.or(sidecar).filter(|_| !args.exit) {
        let database = stage.borrowed.unwrap_or(DATABASE);
        screen.heading(match args.scenario {
            Scenario::Service => "It is still up. Try it:",
            Scenario::Sidecar => "The sidecars are still up. Try the first:",
            Scenario::Lambda => "The shared Weirs are still up. Try the first:",
        });
        screen.say(&words::next_steps(address, admin, database));
    }
    Ok(())
}

/// Each is a handful of processes.
fn environments_that_fit(args: &DemoArgs, screen: &Screen) -> u32 {
    let fit = bearable().min(args.clients);
    if fit < args.clients {
        screen.remark(&format!(
            "This machine bears {} emulated environments: so many students come, of {}.",
            count(fit.into()),
            count(args.clients.into()),
        ));
    }
    fit
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
        let began = Instant::now();
        let played = match self.args.scenario {
            Scenario::Service => self.service(stage).await?,
            Scenario::Sidecar => self.sidecar(stage).await?,
            Scenario::Lambda => self.lambda(stage).await?,
        };
        if played.0.is_some() {
            let took = began.elapsed().as_secs_f64();
            self.screen.remark(&format!("Both took {took:.0} s."));
        }
        Ok(played)
    }

    async fn find_mongod(&self) -> Result<Binary, DemoError> {
        self.screen
            .step("Looking for mongod; without one, a build is fetched once (42 MB)");
        let paths = self.setting.paths.clone();
        let found = spawn_blocking(move || Binary::find(&paths)).await;
        let binary = found.map_err(std::io::Error::other)??;
        self.screen
            .remark(&format!("mongod: {}", binary.path.display()));
        Ok(binary)
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
        let temporary = &self.setting.paths.temporary;
        let (address, uri) = stage
            .fresh_server(binary, temporary, self.server_limit())
            .await?;
        let mut connection = self.connect(address).await?;
        self.seed(&mut connection, DATABASE).await?;
        Ok((address, uri))
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
        stage: &Stage,
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
            keeper: stage.keeper.as_ref(),
            // Half of them have come by then.
            kill_at: self.args.kill_database.then(|| self.exam.length / 4),
            // A server of our own is used by nobody else.
            alone: self.args.upstream.is_none(),
        };
        phase.play(self.screen).await
    }

    /// The limit of a server of our own.
    fn server_limit(&self) -> u32 {
        match self.args.scenario {
            Scenario::Service | Scenario::Sidecar => SERVER_LIMIT,
            // Emulated environments are few: half of what they open.
            Scenario::Lambda => (self.exam.students * SOCKETS / 2).max(functions::SMALLEST_LIMIT),
        }
    }

    /// What one Weir may open.
    fn cap_of_one(&self) -> u32 {
        match self.args.scenario {
            Scenario::Service | Scenario::Sidecar => CAP,
            Scenario::Lambda => functions::CAP,
        }
    }

    /// What all Weirs together may open.
    fn cap(&self) -> u64 {
        let weirs = match self.args.scenario {
            Scenario::Service => 1,
            Scenario::Sidecar => fleet::TASKS as u64,
            Scenario::Lambda => functions::WEIRS as u64,
        };
        weirs * u64::from(self.cap_of_one())
    }

    fn results(&self, direct: Option<&Report>, through: &Report) {
        let directly = direct.map(|report| Column {
            title: "directly",
            report,
            limit: Some(self.server_limit().into()),
        });
        let columns: Vec<_> = directly
            .into_iter()
            .chain([Column {
                title: match self.args.scenario {
                    Scenario::Service => "through Weir",
                    Scenario::Sidecar => "through 3 sidecars",
                    Scenario::Lambda => "through 2 Weirs",
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
        let verdict = weir_kit::text::wrap(&verdict);
        self.screen
            .say(&self.screen.paint.apply(Style::Bold, &verdict));
    }
}
