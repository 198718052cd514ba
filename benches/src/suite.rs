//! Which loads go over which roads, and what the design asks of them.

use anyhow::{Result, bail};

use crate::args::{Args, Measure, RoadName};
use crate::generator::Load;
use crate::measure::{Sample, Task, measure};
use crate::road::{self, Road};
use crate::stand::Stand;
use crate::table::Report;

/// Seconds of load before a window.
const WARM_UP: f64 = 0.7;
/// Clients of [`Measure::Many`]; its window is longer, for the tail.
const MANY: usize = 10_000;

/// All samples of one road under one load, one for each round.
pub(crate) struct Series {
    /// The road.
    pub(crate) road: RoadName,
    /// In the order of the rounds.
    pub(crate) samples: Vec<Sample>,
}

impl Series {
    /// The median over the rounds of one number.
    pub(crate) fn median(&self, number: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(number).collect())
    }

    /// The median over the rounds of this road's number by another's of the same round.
    pub(crate) fn ratio(&self, other: &Self, number: impl Fn(&Sample) -> f64) -> f64 {
        let pairs = self.samples.iter().zip(&other.samples);
        let ratios = pairs.map(|(mine, theirs)| number(mine) / number(theirs).max(f64::EPSILON));
        median(ratios.collect())
    }
}

/// The middle one; the mean of both in the middle of an even number.
fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match (numbers.get(middle), numbers.len() % 2) {
        (Some(&upper), 0) => {
            let lower = numbers.get(middle - 1).copied().unwrap_or(upper);
            f64::midpoint(lower, upper)
        }
        (Some(&one), _) => one,
        (None, _) => f64::NAN,
    }
}

/// One load with its series.
pub(crate) struct Cell {
    /// What was measured.
    pub(crate) measure: Measure,
    /// The load.
    pub(crate) task: Task,
    /// `--max-connections` of Weir.
    pub(crate) cap: usize,
    /// One for each road.
    pub(crate) series: Vec<Series>,
}

impl Cell {
    /// The series of a road, if it was measured.
    pub(crate) fn of(&self, road: RoadName) -> Option<&Series> {
        self.series.iter().find(|series| series.road == road)
    }
}

/// Measures what `args` ask for, prints it and writes it.
pub(crate) fn run(args: &Args) -> Result<()> {
    if cfg!(debug_assertions) {
        eprintln!("weir-benches: a debug build: its numbers say nothing about a release");
    }
    let roads = roads(args)?;
    let stand = Stand::start()?;
    let mut report = Report::new(args);
    for (measure, task, cap) in plan(args) {
        let cell = run_cell(&stand, &roads, args, (measure, task, cap))?;
        report.add(cell);
    }
    report.finish(args.write.as_deref())
}

fn roads(args: &Args) -> Result<Vec<RoadName>> {
    let wanted = |road: &RoadName| args.roads.is_empty() || args.roads.contains(road);
    let mut roads: Vec<RoadName> = RoadName::ALL.into_iter().filter(wanted).collect();
    roads.retain(|road| {
        let there = road::program(*road).is_some();
        if !there {
            eprintln!(
                "SKIPPED: {} is not installed (apt-get install haproxy)",
                road.name()
            );
        }
        there
    });
    if roads.is_empty() {
        bail!("none of the roads is there");
    }
    Ok(roads)
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
    stand: &Stand,
    roads: &[RoadName],
    args: &Args,
    (what, task, cap): (Measure, Task, usize),
) -> Result<Cell> {
    let mut series: Vec<Series> = roads
        .iter()
        .filter(|&&road| what.takes(road))
        .map(|&road| Series {
            road,
            samples: Vec::new(),
        })
        .collect();
    for round in 1..=args.rounds {
        for one in &mut series {
            eprintln!(
                "{what:?}, {} clients, {}, round {round} of {}",
                task.clients,
                one.road.name(),
                args.rounds
            );
            // A fresh process each time: no road profits from another round's memory.
            let road = Road::open(one.road, stand, cap, &args.weir)?;
            one.samples.push(measure(stand, &road, task)?);
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
    /// Whether the load makes sense on the road.
    fn takes(self, road: RoadName) -> bool {
        match self {
            // Ten thousand threads in the server would measure the server.
            Self::Many => road == RoadName::Weir,
            Self::Idle => road != RoadName::Direct,
            Self::Find | Self::Connect | Self::Large => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_both_middles() {
        assert!((median(vec![9.0, 1.0, 5.0]) - 5.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 2.0, 9.0]) - 3.0).abs() < 1e-9);
        assert!(median(Vec::new()).is_nan());
    }
}
