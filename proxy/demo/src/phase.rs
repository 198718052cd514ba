//! One phase: everybody arrives, is served or not, and is counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

use crate::args::Monitoring;
use crate::error::DemoError;
use crate::exam::Exam;
use crate::fleet::{Fleet, FleetPlan};
use crate::functions::{FunctionPlan, Functions};
use crate::observer::{Observer, Watched};
use crate::outage::{Away, Keeper, Outage};
use crate::report::{Connections, Report, Server};
use crate::seed;
use crate::students::attend;
use crate::tally::{Op, Tally};
use crate::world::World;
use weir_kit::client::{ClientError, Connection};
use weir_kit::messages::Messages;
use weir_kit::screen::{Progress, Screen};

/// How often the moving line moves.
const TICK: Duration = Duration::from_millis(100);

/// How long a server that was full may take to let the last question in.
const RECOVERY: Duration = Duration::from_secs(5);

/// Where a phase is played.
#[derive(Debug)]
pub(super) struct Phase<'a> {
    /// The exam, the same in every phase.
    pub(super) exam: &'a Exam,
    /// Who plays it.
    pub(super) crowd: Crowd<'a>,
    /// Where environments connect, and where answers are counted afterwards.
    pub(super) address: SocketAddr,
    /// The database with the quiz.
    pub(super) database: &'a str,
    /// Who looks at the server meanwhile.
    pub(super) observer: Option<&'a Observer>,
    /// The database of our own.
    pub(super) keeper: Option<&'a Keeper>,
    /// When it is to be killed, counted from the beginning.
    pub(super) kill_at: Option<Duration>,
    /// Whether nobody else uses the server, so that all connections beyond
    /// those that were there before come from this phase.
    pub(super) alone: bool,
}

/// Who plays a phase.
#[derive(Clone, Copy, Debug)]
pub(super) enum Crowd<'a> {
    /// Simulated environments, which watch their server so.
    Environments(Monitoring),
    /// Worker processes.
    Fleet(&'a FleetPlan),
    /// Functions in emulated environments.
    Functions(&'a FunctionPlan),
}

/// Those who play, while they do.
enum Players {
    Environments(JoinSet<()>),
    Fleet(Fleet),
    Functions(Functions),
}

impl Players {
    async fn end(self) -> Result<(), DemoError> {
        match self {
            Self::Environments(mut students) => students.shutdown().await,
            Self::Fleet(fleet) => fleet.end().await,
            Self::Functions(functions) => functions.end().await?,
        }
        Ok(())
    }
}

impl Phase<'_> {
    /// Plays it to its end.
    ///
    /// # Errors
    /// When the system has no randomness, or a worker or an environment does not start.
    pub(super) async fn play(&self, screen: &Screen) -> Result<Report, DemoError> {
        let tally = Arc::new(Tally::default());
        let before = self.outages().len();
        let players = self.begin(&tally).await?;
        self.wait_until_settled(&tally, screen, before).await;
        let settled = Instant::now();
        let server = self
            .observer
            .map(|observer| self.server(observer.watched()));
        players.end().await?;
        let stored = self.count_answers(&Messages::new(self.database)).await.ok();
        let outages = self.outages().split_off(before);
        let mut report = self.report(&tally, server, stored);
        report.away = Away::of(&outages, &tally.spans(), settled);
        Ok(report)
    }

    fn outages(&self) -> Vec<Outage> {
        self.keeper.map(Keeper::outages).unwrap_or_default()
    }

    async fn begin(&self, tally: &Arc<Tally>) -> Result<Players, DemoError> {
        let monitoring = match self.crowd {
            Crowd::Environments(monitoring) => monitoring,
            Crowd::Fleet(plan) => {
                return Ok(Players::Fleet(Fleet::start(plan, self.exam, tally).await?));
            }
            Crowd::Functions(plan) => {
                let functions = Functions::start(plan, self.exam, tally).await?;
                return Ok(Players::Functions(functions));
            }
        };
        let world = Arc::new(World {
            address: self.address,
            messages: Messages::new(self.database),
            monitoring,
            patience: self.exam.patience,
            salt: salt()?,
            tally: Arc::clone(tally),
        });
        let mut students = JoinSet::new();
        for student in 0..self.exam.students {
            students.spawn(attend(world.clone(), self.exam.plan(student)));
        }
        Ok(Players::Environments(students))
    }

    /// Until everybody has been served or has given up, or time is over.
    async fn wait_until_settled(&self, tally: &Tally, screen: &Screen, before: usize) {
        let began = Instant::now();
        let mut story = Story {
            began,
            told: before,
            away: false,
        };
        let mut kill = self.keeper.zip(self.kill_at);
        let mut ticks = interval(TICK);
        ticks.tick().await;
        loop {
            let elapsed = ticks.tick().await.duration_since(began);
            if let Some((keeper, _)) = kill.filter(|(_, at)| elapsed >= *at) {
                keeper.kill().await;
                kill = None;
            }
            story.tell(&self.outages(), screen);
            let mut progress = self.progress(tally, elapsed);
            // It cannot be asked.
            progress.connections = progress.connections.filter(|_| !story.away);
            screen.show(&progress.line());
            let settled = progress.served + progress.gave_up;
            if settled == u64::from(self.exam.students) || elapsed >= self.exam.length {
                return;
            }
        }
    }

    fn progress(&self, tally: &Tally, elapsed: Duration) -> Progress {
        // Outcomes first: who has one has also arrived.
        let (served, gave_up) = (tally.served.get(), tally.gave_up.get());
        Progress {
            elapsed,
            served,
            gave_up,
            arrived: tally.arrived.get(),
            refused: tally.refused.get(),
            connections: self.observer.map(|observer| self.now(observer.watched())),
        }
    }

    fn server(&self, watched: Watched) -> Server {
        Server {
            ours: self.alone.then(|| Connections {
                peak: watched.peak - watched.quiet,
                opened: watched.opened,
            }),
            memory: watched.memory,
        }
    }

    /// Connections at this moment, without those that were there before.
    fn now(&self, watched: Watched) -> u64 {
        let before = if self.alone { watched.quiet } else { 0 };
        watched.now.saturating_sub(before)
    }

    async fn count_answers(&self, messages: &Messages) -> Result<u64, ClientError> {
        let deadline = Instant::now() + RECOVERY;
        loop {
            let counted = match Connection::open(self.address, messages).await {
                Ok((mut connection, _)) => {
                    seed::stored_answers(&mut connection, self.database).await
                }
                Err(error) => Err(error),
            };
            if counted.is_ok() || Instant::now() >= deadline {
                return counted;
            }
            sleep(TICK).await;
        }
    }

    fn report(&self, tally: &Tally, server: Option<Server>, stored: Option<u64>) -> Report {
        Report {
            students: u64::from(self.exam.students),
            served: tally.served.get(),
            failed: tally.failed.get(),
            done: tally.done.get(),
            planned: self.exam.operations(),
            acknowledged: tally.answers.get(),
            stored,
            refused: tally.refused.get(),
            surprise: tally.surprise(),
            away: None,
            server,
            waits: Op::ALL.map(|op| tally.latency(op)),
        }
    }
}

/// Which of the database's outages the screen has reported.
struct Story {
    began: Instant,
    /// So many outages have been told to their end.
    told: usize,
    /// The database is away, and the screen has said so.
    away: bool,
}

impl Story {
    fn tell(&mut self, outages: &[Outage], screen: &Screen) {
        for outage in outages.get(self.told..).unwrap_or_default() {
            let at = |moment: Instant| moment.saturating_duration_since(self.began).as_secs_f64();
            if !self.away {
                self.away = true;
                let died = at(outage.died);
                screen.say(&format!(
                    "  {died:>4.1} s  The database was killed; it is being started again."
                ));
            }
            let Some(back) = outage.back else { return };
            self.away = false;
            self.told += 1;
            let back = at(back);
            screen.say(&format!(
                "  {back:>4.1} s  The database takes writes again."
            ));
        }
    }
}

fn salt() -> Result<[u8; 16], DemoError> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(std::io::Error::from)?;
    Ok(salt)
}
