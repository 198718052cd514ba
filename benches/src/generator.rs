//! The clients: one process, one thread, a closed loop each.
//!
//! Its orders are one JSON argument. It prints `measuring` when the clients
//! are connected and warm, and its result, one line of JSON, at the end; with
//! [`Load::Hold`] it then waits for the end of its input.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::Read as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bson::doc;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::task::{JoinSet, LocalSet};

use crate::connection::{Connection, message};

/// The hidden first argument.
pub(crate) const AS_GENERATOR: &str = "as-generator";
/// Printed when the window begins.
pub(crate) const MEASURING: &str = "measuring";
/// Where the documents are.
pub(crate) const DATABASE: &str = "bench";
/// Small documents, `_id` 0 to [`DOCUMENTS`].
pub(crate) const SMALL: &str = "small";
/// How many small ones.
pub(crate) const DOCUMENTS: i32 = 1000;
/// One document of almost 16 MB.
pub(crate) const LARGE: &str = "large";
/// How many sockets are connected at a time when that is not what is measured.
const AT_ONCE: usize = 64;

/// What the clients do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) enum Load {
    /// find a small document by `_id`, again and again.
    Find,
    /// find the large one, again and again.
    Large,
    /// Connect all at once, one `ping` each; times are from the start to its reply.
    Connect,
    /// Connect, one hello each, and stay.
    Hold,
}

/// One order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Where to.
    pub(crate) address: SocketAddr,
    /// How many.
    pub(crate) clients: usize,
    /// What.
    pub(crate) load: Load,
    /// How long before the window, in seconds.
    pub(crate) warm_up: f64,
    /// How long the window is, in seconds.
    pub(crate) seconds: f64,
}

/// One result. Times are in microseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Operations that ended well inside the window.
    pub(crate) operations: u64,
    /// What went wrong, the first of it in words.
    pub(crate) errors: u64,
    /// The first error.
    pub(crate) first_error: Option<String>,
    /// The window as it was, in seconds.
    pub(crate) seconds: f64,
    /// The median.
    pub(crate) p50: u64,
    /// The 99th percentile.
    pub(crate) p99: u64,
    /// Bytes of replies.
    pub(crate) bytes: u64,
}

/// Shared by the clients of one thread.
struct Board {
    order: Order,
    begin: RefCell<Instant>,
    end: RefCell<Instant>,
    times: RefCell<Histogram<u64>>,
    outcome: RefCell<Outcome>,
}

impl Board {
    fn note(&self, started: Instant, done: Instant, bytes: usize) {
        if started < *self.begin.borrow() || done > *self.end.borrow() {
            return;
        }
        let micros = u64::try_from((done - started).as_micros()).unwrap_or(u64::MAX);
        self.times.borrow_mut().saturating_record(micros);
        let mut outcome = self.outcome.borrow_mut();
        outcome.operations += 1;
        outcome.bytes += bytes as u64;
    }

    fn fail(&self, error: &anyhow::Error) {
        let mut outcome = self.outcome.borrow_mut();
        outcome.errors += 1;
        if outcome.first_error.is_none() {
            outcome.first_error = Some(format!("{error:#}"));
        }
    }
}

/// Carries out the order in `argument`.
pub(crate) fn run(argument: Option<&OsString>) -> Result<()> {
    let text = argument
        .and_then(|text| text.to_str())
        .context("no order")?;
    let order: Order = serde_json::from_str(text)?;
    weir::limits::raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, carry_out(order))
}

async fn carry_out(order: Order) -> Result<()> {
    let now = Instant::now();
    let board = Rc::new(Board {
        begin: RefCell::new(now),
        end: RefCell::new(now + Duration::from_secs(3600)),
        times: RefCell::new(Histogram::new_with_bounds(1, 600_000_000, 3)?),
        outcome: RefCell::default(),
        order,
    });
    match board.order.load {
        Load::Connect => connect_all(&board).await?,
        Load::Hold => return hold(&board).await,
        Load::Find | Load::Large => keep_asking(&board).await?,
    }
    print_outcome(&board)
}

fn print_outcome(board: &Board) -> Result<()> {
    let mut outcome = board.outcome.borrow().clone();
    let times = board.times.borrow();
    outcome.p50 = times.value_at_quantile(0.5);
    outcome.p99 = times.value_at_quantile(0.99);
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

/// Connected sockets, a few at a time, each with one hello behind it.
async fn connected(board: &Rc<Board>) -> Result<Vec<Connection>> {
    let mut opening = JoinSet::new();
    let mut open = Vec::with_capacity(board.order.clients);
    for _ in 0..board.order.clients {
        let address = board.order.address;
        opening.spawn_local(async move {
            let mut connection = Connection::open(address).await?;
            let mut hello = message(&doc! {"hello": 1, "$db": "admin"})?;
            connection.exchange(&mut hello).await?;
            anyhow::Ok(connection)
        });
        if opening.len() >= AT_ONCE
            && let Some(one) = opening.join_next().await
        {
            open.push(one??);
        }
    }
    while let Some(one) = opening.join_next().await {
        open.push(one??);
    }
    Ok(open)
}

async fn keep_asking(board: &Rc<Board>) -> Result<()> {
    let connections = connected(board).await?;
    let warm = Duration::from_secs_f64(board.order.warm_up);
    let window = Duration::from_secs_f64(board.order.seconds);
    let begin = Instant::now() + warm;
    *board.begin.borrow_mut() = begin;
    *board.end.borrow_mut() = begin + window;
    let mut clients = JoinSet::new();
    for (number, connection) in connections.into_iter().enumerate() {
        clients.spawn_local(ask(Rc::clone(board), connection, number));
    }
    tokio::time::sleep_until(begin.into()).await;
    println!("{MEASURING}");
    tokio::time::sleep_until((begin + window).into()).await;
    board.outcome.borrow_mut().seconds = begin.elapsed().as_secs_f64();
    clients.abort_all();
    Ok(())
}

async fn ask(board: Rc<Board>, mut connection: Connection, number: usize) {
    let asked = async {
        let mut asks = asks(board.order.load, number)?;
        loop {
            for ask in &mut asks {
                let started = Instant::now();
                let bytes = connection.exchange(ask).await?;
                board.note(started, Instant::now(), bytes);
            }
        }
    };
    let ended: Result<()> = asked.await;
    if let Err(error) = ended {
        board.fail(&error);
    }
}

/// The messages that one client sends in turn.
fn asks(load: Load, number: usize) -> Result<Vec<Vec<u8>>> {
    let find = |collection: &str, id: i32| {
        message(&doc! {
            "find": collection, "filter": {"_id": id}, "limit": 1,
            "singleBatch": true, "$db": DATABASE,
        })
    };
    if load == Load::Large {
        return Ok(vec![find(LARGE, 0)?]);
    }
    let first = i32::try_from(number)?.wrapping_mul(7);
    (0..4)
        .map(|step| find(SMALL, (first + step * 251) % DOCUMENTS))
        .collect()
}

async fn connect_all(board: &Rc<Board>) -> Result<()> {
    let start = Instant::now();
    *board.begin.borrow_mut() = start;
    println!("{MEASURING}");
    let mut clients = JoinSet::new();
    for _ in 0..board.order.clients {
        let board = Rc::clone(board);
        clients.spawn_local(async move {
            let first = first_reply(board.order.address).await;
            match &first {
                Ok(_) => board.note(start, Instant::now(), 0),
                Err(error) => board.fail(error),
            }
            first.ok()
        });
    }
    // All stay connected until the last has its reply.
    let open = clients.join_all().await;
    board.outcome.borrow_mut().seconds = start.elapsed().as_secs_f64();
    drop(open);
    Ok(())
}

async fn first_reply(address: SocketAddr) -> Result<Connection> {
    let mut connection = Connection::open(address).await?;
    for command in [
        doc! {"hello": 1, "$db": "admin"},
        doc! {"ping": 1, "$db": "admin"},
    ] {
        connection.exchange(&mut message(&command)?).await?;
    }
    Ok(connection)
}

async fn hold(board: &Rc<Board>) -> Result<()> {
    let mut open = connected(board).await?;
    open.iter_mut().for_each(Connection::rest);
    board.outcome.borrow_mut().operations = open.len() as u64;
    println!("{MEASURING}");
    print_outcome(board)?;
    let mut byte = [0];
    // Nothing else is to be done here: blocking is fine.
    let _ = std::io::stdin().read(&mut byte);
    Ok(())
}
