//! One environment against a server that does what the test says.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use bson::{RawDocumentBuf, oid::ObjectId, rawdoc};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::args::Monitoring;
use crate::exam::{Exam, OPERATIONS};
use crate::tally::Tally;
use weir::wire::op_msg::OpMsg;
use weir::wire::{Header, legacy, opcode, raw, reply};
use weir_kit::messages::Messages;

/// What the server does with a command.
enum Action {
    Answer(RawDocumentBuf),
    Close,
}

type Script = dyn Fn(&str, usize) -> Action + Send + Sync;

/// A server on loopback that remembers what it was asked.
struct Scripted {
    address: SocketAddr,
    seen: Arc<Seen>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Seen {
    /// Command names with transaction numbers, in order of arrival.
    commands: Mutex<Vec<(String, i64)>>,
    /// Sockets open now.
    open: AtomicUsize,
}

impl Scripted {
    /// `script` is asked about every command but hello, with the number of
    /// commands before it; `limit` is the number of sockets taken.
    async fn start(
        limit: usize,
        script: impl Fn(&str, usize) -> Action + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let script: Arc<Script> = Arc::new(script);
        let shared = seen.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if shared.open.load(Ordering::SeqCst) == limit {
                    continue;
                }
                shared.open.fetch_add(1, Ordering::SeqCst);
                let (seen, script) = (shared.clone(), script.clone());
                tokio::spawn(async move {
                    let _ = serve(stream, &seen, &*script).await;
                    seen.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self {
            address,
            seen,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// What arrived other than hello.
    fn commands(&self) -> Vec<(String, i64)> {
        self.seen.commands.lock().clone()
    }
}

async fn serve(mut stream: TcpStream, seen: &Seen, script: &Script) -> std::io::Result<()> {
    loop {
        let mut message = vec![0; 16];
        stream.read_exact(&mut message).await?;
        let header = Header::decode(&message, 1 << 20).unwrap().unwrap();
        message.resize(header.length, 0);
        stream.read_exact(&mut message[16..]).await?;
        if header.op_code == opcode::QUERY {
            let answer = legacy::op_reply(1, header.request_id, hello().as_bytes());
            stream.write_all(&answer).await?;
            continue;
        }
        let body = &message[OpMsg::parse(&message).unwrap().body];
        let first = raw::elements(body).next().unwrap().unwrap();
        let name = String::from_utf8(first.key.to_vec()).unwrap();
        if name == "hello" {
            // Awaiting, as long as anybody listens.
            continue;
        }
        let number = raw::find(body, b"txnNumber").and_then(|n| n.as_i64());
        let before = {
            let mut commands = seen.commands.lock();
            commands.push((name.clone(), number.unwrap_or(0)));
            commands.len() - 1
        };
        match script(&name, before) {
            Action::Close => return Ok(()),
            Action::Answer(document) => {
                let answer = reply::op_msg(1, header.request_id, 0, document.as_bytes());
                stream.write_all(&answer).await?;
            }
        }
    }
}

fn hello() -> RawDocumentBuf {
    rawdoc! {
        "ismaster": true,
        "maxWireVersion": 17,
        "topologyVersion": { "processId": ObjectId::from_bytes([1; 12]), "counter": 1_i64 },
        "ok": 1.0,
    }
}

fn ok() -> Action {
    Action::Answer(rawdoc! { "ok": 1.0 })
}

fn exam() -> Exam {
    Exam {
        students: 1,
        length: Duration::from_millis(200),
        patience: Duration::from_secs(2),
        seed: 1,
    }
}

fn world(server: &Scripted, monitoring: Monitoring) -> Arc<World> {
    Arc::new(World {
        address: server.address,
        messages: Messages::new("quiz"),
        monitoring,
        patience: exam().patience,
        salt: [9; 16],
        tally: Arc::new(Tally::default()),
    })
}

/// Lets one student sit the exam and returns when they have an outcome.
async fn sit(world: &Arc<World>) -> AbortOnDropHandle<()> {
    let student = AbortOnDropHandle::new(tokio::spawn(attend(world.clone(), exam().plan(0))));
    until("an outcome", || {
        world.tally.served.get() + world.tally.gave_up.get() == 1
    })
    .await;
    student
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let reached = async {
        while !condition() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    let reached = timeout(Duration::from_secs(20), reached).await;
    reached.unwrap_or_else(|_| panic!("never came to {what}"));
}

fn names(commands: &[(String, i64)]) -> Vec<&str> {
    commands.iter().map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn a_student_does_everything_once_and_in_order() {
    let server = Scripted::start(10, |_, _| ok()).await;
    let world = world(&server, Monitoring::Stream);
    let _student = sit(&world).await;

    let commands = server.commands();
    let expected = [
        "find", "find", "insert", "update", "update", "update", "update", "update",
    ];
    assert_eq!(names(&commands), expected);
    let numbers: Vec<i64> = commands.iter().map(|(_, number)| *number).skip(2).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    let tally = &world.tally;
    assert_eq!(tally.served.get(), 1);
    assert_eq!(tally.done.get(), OPERATIONS as u64);
    assert_eq!((tally.failed.get(), tally.refused.get()), (0, 0));
}

#[tokio::test]
async fn an_environment_holds_as_many_sockets_as_its_driver_opens_until_it_ends() {
    for monitoring in [Monitoring::Stream, Monitoring::Poll] {
        let server = Scripted::start(10, |_, _| ok()).await;
        let world = world(&server, monitoring);
        let student = sit(&world).await;
        let sockets = monitoring.sockets() as usize;
        let open = || server.seen.open.load(Ordering::SeqCst);
        until("all its sockets", || open() == sockets).await;
        drop(student);
        until("no socket", || open() == 0).await;
    }
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_sent_once_more_with_its_number() {
    // The fourth command is the first answer.
    let server = Scripted::start(
        10,
        |_, before| if before == 3 { Action::Close } else { ok() },
    )
    .await;
    let world = world(&server, Monitoring::Poll);
    let _student = sit(&world).await;

    let commands = server.commands();
    assert_eq!(commands.len(), OPERATIONS + 1);
    assert_eq!(commands[3], commands[4]);
    assert_ne!(commands[4], commands[5]);
    assert_eq!(world.tally.served.get(), 1);
    assert_eq!(world.tally.failed.get(), 0, "the driver's retry hides it");
}

#[tokio::test]
async fn a_full_server_turns_the_student_away() {
    let server = Scripted::start(0, |_, _| ok()).await;
    let world = world(&server, Monitoring::Stream);
    let began = Instant::now();
    let _student = sit(&world).await;

    assert!(began.elapsed() >= exam().patience);
    assert_eq!(server.commands(), []);
    assert_eq!(world.tally.gave_up.get(), 1);
    assert!(
        world.tally.refused.get() >= 2,
        "monitors try again every half second"
    );
    assert!(world.tally.failed.get() >= 1);
    assert_eq!(world.tally.latency(Op::Connect), None);
    assert_eq!(world.tally.surprise(), None);
}

#[tokio::test]
async fn room_for_the_monitors_alone_does_not_serve_a_student() {
    let server = Scripted::start(1, |_, _| ok()).await;
    let world = world(&server, Monitoring::Poll);
    let _student = sit(&world).await;
    assert_eq!(server.commands(), []);
    assert_eq!(world.tally.gave_up.get(), 1);
}

#[tokio::test]
async fn an_error_in_an_answer_is_shown_and_the_page_loaded_again() {
    let server = Scripted::start(10, |_, before| match before {
        2 => Action::Answer(rawdoc! { "ok": 0.0, "code": 13, "errmsg": "not allowed" }),
        3 => Action::Answer(rawdoc! { "ok": 1.0, "writeErrors": [{ "index": 0, "code": 11000 }] }),
        _ => ok(),
    })
    .await;
    let world = world(&server, Monitoring::Poll);
    let _student = sit(&world).await;

    let commands = server.commands();
    assert_eq!(names(&commands)[2..5], ["insert", "insert", "update"]);
    assert!(
        commands[3].1 > commands[2].1,
        "another request, another number"
    );
    assert_eq!(world.tally.served.get(), 1);
    assert_eq!(world.tally.failed.get(), 1);
    let said = world.tally.surprise().unwrap();
    assert_eq!(said, "the server answered with error 13: not allowed");
}

#[test]
fn sessions_differ_between_students_and_phases() {
    let all = [
        session([1; 16], 0),
        session([1; 16], 1),
        session([2; 16], 0),
    ];
    assert_eq!(
        all.iter().collect::<std::collections::BTreeSet<_>>().len(),
        3
    );
}
