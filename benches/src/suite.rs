//! Which loads go through which contenders, and what the design asks of them.

use anyhow::{Result, bail};

use crate::args::{Args, ContenderName, Measure};
use crate::cell::{Cell, Series};
use crate::contender::{self, Contender};
use crate::generator::Load;
use crate::measure::{Task, measure};
use crate::server::Server;
use crate::table::Report;

/// Seconds of load before a window.
const WARM_UP: f64 = 0.7;
/// Clients of [`Measure::Many`]; its window is longer, for the tail.
const MANY: usize = 10_000;

/// Measures what `args` ask for, prints it and writes it.
pub(crate) fn run(args: &Args) -> Result<()> {
    if cfg!(debug_assertions) {
        eprintln!("weir-benches: a debug build: its numbers say nothing about a release");
    }
    let contenders = contenders(args)?;
    let server = Server::start()?;
    let mut report = Report::new(args);
    for (measure, task, cap) in plan(args) {
        let cell = run_cell(&server, &contenders, args, (measure, task, cap))?;
        report.add(cell);
    }
    report.finish(args.write.as_deref())
}

fn contenders(args: &Args) -> Result<Vec<ContenderName>> {
    let wanted = |contender: &ContenderName| {
        args.contenders.is_empty() || args.contenders.contains(contender)
    };
    let mut contenders: Vec<ContenderName> =
        ContenderName::ALL.into_iter().filter(wanted).collect();
    contenders.retain(|contender| {
        let there = contender::program(*contender).is_some();
        if !there {
            eprintln!(
                "SKIPPED: {} is not installed (apt-get install haproxy)",
                contender.name()
            );
        }
        there
    });
    if contenders.is_empty() {
        bail!("none of the contenders is installed");
    }
    Ok(contenders)
}

/// Every load with Weir's cap for it.
fn plan(args: &Args) -> Vec<(Measure, Task, usize)> {
    let wanted = |measure| args.measures.is_empty() || args.measures.contains(&measure);
    let task = |load, clients, seconds| Task {
        load,
        clients,
        warm_up: WARM_UP,
        seconds,
    };
    let mut plan = Vec::new();
    if wanted(Measure::Find) {
        for &clients in &args.clients {
            // The design's table: 64 clients over 16 connections, the rest over 20.
            let cap = if clients == 64 { 16 } else { 20 };
            plan.push((Measure::Find, task(Load::Find, clients, args.seconds), cap));
        }
    }
    if wanted(Measure::Many) {
        let seconds = args.seconds.max(5.0);
        plan.push((Measure::Many, task(Load::Find, MANY, seconds), 40));
    }
    if wanted(Measure::Connect) {
        plan.push((Measure::Connect, task(Load::Connect, args.crowd, 0.0), 20));
    }
    if wanted(Measure::Idle) {
        plan.push((Measure::Idle, task(Load::Hold, args.crowd, 0.0), 20));
    }
    if wanted(Measure::Large) {
        for streams in [1, 4] {
            plan.push((Measure::Large, task(Load::Large, streams, args.seconds), 20));
        }
    }
    plan
}

fn run_cell(
    server: &Server,
    contenders: &[ContenderName],
    args: &Args,
    (what, task, cap): (Measure, Task, usize),
) -> Result<Cell> {
    let mut series: Vec<Series> = contenders
        .iter()
        .filter(|&&contender| what.takes(contender))
        .map(|&contender| Series {
            contender,
            samples: Vec::new(),
        })
        .collect();
    for round in 1..=args.rounds {
        for one in &mut series {
            eprintln!(
                "{what:?}, {} clients, {}, round {round} of {}",
                task.clients,
                one.contender.name(),
                args.rounds
            );
            // A fresh process each time: no contender profits from another round's memory.
            let contender = Contender::open(one.contender, server, cap, &args.weir)?;
            one.samples.push(measure(server, &contender, task)?);
        }
    }
    Ok(Cell {
        measure: what,
        task,
        cap,
        series,
    })
}

impl Measure {
    /// Whether the load makes sense for the contender.
    fn takes(self, contender: ContenderName) -> bool {
        match self {
            // Ten thousand threads in the server would measure the server.
            Self::Many => contender == ContenderName::Weir,
            Self::Idle => contender != ContenderName::Direct,
            Self::Find | Self::Connect | Self::Large => true,
        }
    }
}
