//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures Weir beside a direct connection and HAProxy in TCP mode, over one
/// real mongod, in one run.
///
/// HAProxy is taken from the path (`apt-get install haproxy`); without it that
/// contender is left out, and the program says so.
#[derive(Parser)]
#[command(name = "weir-benches")]
pub(crate) struct Args {
    /// What to measure; everything when absent.
    #[arg(value_enum)]
    pub(crate) measures: Vec<Measure>,

    /// Numbers of clients for `find`.
    #[arg(long, value_delimiter = ',', default_value = "1,8,64,500,1500")]
    pub(crate) clients: Vec<usize>,

    /// Clients that connect at once, and that stay idle.
    #[arg(long, default_value_t = 1500)]
    pub(crate) crowd: usize,

    /// Seconds that each contender is measured in each round.
    #[arg(long, default_value_t = 3.0)]
    pub(crate) seconds: f64,

    /// Rounds; the contenders take turns in each, the table shows medians.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,

    /// Contenders to measure; everything that is there when absent.
    #[arg(long, alias = "endpoints", value_delimiter = ',', value_enum)]
    pub(crate) contenders: Vec<ContenderName>,

    /// Writes the result to this file as Markdown.
    #[arg(long, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,

    /// Further arguments for Weir, for trying a setting.
    #[arg(last = true)]
    pub(crate) weir: Vec<String>,
}

/// One kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measure {
    /// find by _id from a closed loop of clients.
    Find,
    /// All clients connect at once; time to the first reply.
    Connect,
    /// 10,000 clients over 40 connections: how unequal they fare.
    Many,
    /// Memory for each idle client.
    Idle,
    /// Documents of 16 MB.
    Large,
}

/// What is between the clients and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ContenderName {
    /// No proxy.
    Direct,
    /// HAProxy in TCP mode.
    Haproxy,
    /// This project.
    Weir,
}

impl ContenderName {
    /// All, in the order of the tables.
    pub(crate) const ALL: [Self; 3] = [Self::Direct, Self::Haproxy, Self::Weir];

    /// As the tables say it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Haproxy => "HAProxy",
            Self::Weir => "Weir",
        }
    }
}
