//! The options of `weir demo`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::exam::Exam;

/// Runs an exam start against a real MongoDB, directly and through Weir.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Students; as a service, each in a simulated Lambda environment of its own; as lambda,
    /// each in an emulated one, and no more than this machine bears.
    #[arg(long, default_value_t = 1_500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub clients: u32,

    /// Longest duration of each of the two phases, in seconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(5..=3_600))]
    pub seconds: u64,

    /// How long a student waits for one answer before giving up, in seconds;
    /// at most half a phase, so that everybody has an outcome at its end.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub patience: u64,

    /// Plays the phase through Weir against this deployment of yours, in a
    /// database named `weir_demo` that is dropped afterwards. The direct phase
    /// is left out: it could take every connection your applications need.
    #[arg(long, value_name = "URI")]
    pub upstream: Option<String>,

    /// The deployment that is shown.
    #[arg(long = "as", value_enum, default_value_t = Scenario::Service)]
    pub scenario: Scenario,

    /// The folder that a Lambda layer was unzipped into, for --as lambda; without it, the
    /// layer's programs are those beside this one, or built by cargo in a checkout.
    #[arg(long, value_name = "FOLDER")]
    pub layer: Option<PathBuf>,

    /// How the simulated drivers watch their server; PyMongo decides for itself.
    #[arg(long, value_enum, default_value_t = Monitoring::Stream)]
    pub monitoring: Monitoring,

    /// Seed of arrival and thinking times.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Kills the database in the middle of each phase (kill -9), and starts it again.
    #[arg(long, conflicts_with = "upstream")]
    pub kill_database: bool,

    /// Ends after the table instead of staying up to be tried.
    #[arg(long)]
    pub exit: bool,
}

impl DemoArgs {
    /// The exam that both phases play.
    pub(super) fn exam(&self, students: u32) -> Exam {
        let length = Duration::from_secs(self.seconds);
        Exam {
            students,
            length,
            patience: Duration::from_secs(self.patience).min(length / 2),
            seed: self.seed,
        }
    }
}

/// The deployment that the demo shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// One Weir that all clients share; clients are simulated Lambda environments.
    Service,
    /// Three tasks of four worker processes, real Python with PyMongo, and a Weir
    /// in each task.
    Sidecar,
    /// Real Python functions under AWS's own emulator of Lambda: first as they are, then with
    /// the layer (extension and shim) before two shared Weirs.
    Lambda,
}

/// How an environment watches its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Monitoring {
    /// Two sockets, streaming hello and round-trip time: what a driver does
    /// when it does not notice Lambda, or is older than that rule.
    Stream,
    /// One socket that polls: what newer drivers do in Lambda.
    Poll,
}

impl Monitoring {
    /// Sockets of one environment, its pool connection included.
    pub(super) fn sockets(self) -> u32 {
        match self {
            Self::Stream => 3,
            Self::Poll => 2,
        }
    }
}
