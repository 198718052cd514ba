//! The driver against scripted nodes that answer hello and nothing else.

use std::sync::atomic::AtomicUsize;

use mongodb::bson::Document;
use mongodb::options::{Credential, ServerMonitoringMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use crate::topology::{NodeKind, TopologyEvent, TopologyKind};

const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Clone)]
enum Script {
    Answer(Document),
    KeepSilent,
    HangUp,
}

/// One scripted node. Its script may change at any time.
struct Node {
    address: String,
    script: Arc<Mutex<Script>>,
    heard: Arc<Mutex<Vec<Document>>>,
    connections: Arc<AtomicUsize>,
}

impl Node {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = Self {
            address: listener.local_addr().unwrap().to_string(),
            script: Arc::new(Mutex::new(Script::HangUp)),
            heard: Arc::default(),
            connections: Arc::default(),
        };
        let (script, heard) = (node.script.clone(), node.heard.clone());
        let connections = node.connections.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(socket, script.clone(), heard.clone()));
            }
        });
        node
    }

    fn plays(&self, script: Script) {
        *self.script.lock() = script;
    }

    fn address(&self) -> NodeAddress {
        NodeAddress::parse(&self.address).unwrap()
    }
}

async fn serve(
    mut socket: TcpStream,
    script: Arc<Mutex<Script>>,
    heard: Arc<Mutex<Vec<Document>>>,
) -> std::io::Result<()> {
    loop {
        // Header, flags and section kind of an OP_MSG; then the body.
        let mut head = [0; 21];
        socket.read_exact(&mut head).await?;
        let length = u32::from_le_bytes(head[..4].try_into().unwrap()) as usize;
        let mut body = vec![0; length - head.len()];
        socket.read_exact(&mut body).await?;
        heard.lock().push(Document::from_reader(&body[..]).unwrap());
        let script = script.lock().clone();
        match script {
            Script::HangUp => return Ok(()),
            Script::KeepSilent => {}
            Script::Answer(reply) => {
                let reply = reply.to_vec().unwrap();
                let length = (head.len() + reply.len()) as u32;
                let mut message = length.to_le_bytes().to_vec();
                message.extend([0; 4]);
                message.extend(&head[4..8]);
                message.extend(2013_i32.to_le_bytes());
                message.extend([0; 5]);
                message.extend(reply);
                socket.write_all(&message).await?;
            }
        }
    }
}

fn hello(kind: &str, nodes: &[&Node]) -> Script {
    let hosts: Vec<_> = nodes.iter().map(|node| node.address.clone()).collect();
    Script::Answer(doc! {
        "ok": 1, "helloOk": true, "setName": "rs", kind: true, "hosts": hosts,
        "minWireVersion": 0, "maxWireVersion": 17, "maxBsonObjectSize": 16 << 20,
        "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000,
    })
}

fn options(seeds: &[&Node], heartbeat: Duration) -> ClientOptions {
    ClientOptions::builder()
        .hosts(
            seeds
                .iter()
                .map(|node| node.address.parse().unwrap())
                .collect::<Vec<_>>(),
        )
        .heartbeat_freq(heartbeat)
        .connect_timeout(Duration::from_millis(300))
        .server_monitoring_mode(ServerMonitoringMode::Poll)
        .build()
}

async fn next(events: &mut mpsc::UnboundedReceiver<TopologyEvent>) -> TopologyEvent {
    tokio::time::timeout(DEADLINE, events.recv())
        .await
        .expect("an event in time")
        .unwrap()
}

#[tokio::test]
async fn members_are_found_and_measured_without_a_login() {
    let (primary, secondary) = (Node::start().await, Node::start().await);
    primary.plays(hello("isWritablePrimary", &[&primary, &secondary]));
    secondary.plays(hello("secondary", &[&primary, &secondary]));
    let mut options = options(&[&secondary], MIN_HEARTBEAT);
    options.min_pool_size = Some(5);
    let credential = Credential::builder()
        .username("user".to_owned())
        .password("secret".to_owned());
    options.credential = Some(credential.build());

    let topology = Monitor::topology(&options);
    let mut news = topology.watch();
    let monitor = Monitor::start(options, &topology).unwrap();
    let complete = async {
        loop {
            news.changed().await.unwrap();
            let snapshot = topology.current();
            let is_measured = snapshot.nodes.iter().all(|node| node.rtt.is_some());
            if snapshot.kind == TopologyKind::ReplicaSetWithPrimary && is_measured {
                return;
            }
        }
    };
    // Round trips wake nobody, so add a node's next change: its `lastWrite`.
    let touch = async {
        for write in 1_i64.. {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if let Script::Answer(reply) = &mut *primary.script.lock() {
                let date = mongodb::bson::DateTime::from_millis(write);
                reply.insert("lastWrite", doc! { "lastWriteDate": date });
            }
        }
    };
    tokio::select! {
        () = complete => {}
        () = touch => {}
        () = tokio::time::sleep(DEADLINE) => panic!("not complete: {:?}", topology.current()),
    }
    assert_eq!(
        topology.current().primary().unwrap().address,
        primary.address()
    );
    monitor.stop().await;
    assert_eq!(
        topology.current().nodes.len(),
        2,
        "what was known stays known"
    );
    for command in primary
        .heard
        .lock()
        .iter()
        .chain(secondary.heard.lock().iter())
    {
        let name = command.keys().next().unwrap();
        assert!(["hello", "isMaster"].contains(&name.as_str()), "{command}");
        assert!(
            !command.contains_key("speculativeAuthenticate"),
            "{command}"
        );
    }
}

#[tokio::test]
async fn a_silent_node_is_dead_and_one_that_hangs_up_is_down() {
    for (script, dead) in [(Script::KeepSilent, true), (Script::HangUp, false)] {
        let node = Node::start().await;
        node.plays(hello("isWritablePrimary", &[&node]));
        let options = options(&[&node], MIN_HEARTBEAT);
        let topology = Monitor::topology(&options);
        let mut events = topology.events();
        let _monitor = Monitor::start(options, &topology).unwrap();
        assert!(matches!(
            next(&mut events).await,
            TopologyEvent::NodeUp { .. }
        ));
        assert!(matches!(
            next(&mut events).await,
            TopologyEvent::PrimaryChanged { .. }
        ));
        node.plays(script);
        let TopologyEvent::NodeDown {
            timed_out,
            generation,
            ..
        } = next(&mut events).await
        else {
            panic!("the node is down");
        };
        assert_eq!((timed_out, generation), (dead, 1));
        assert_eq!(
            next(&mut events).await,
            TopologyEvent::PrimaryChanged { primary: None }
        );
        assert!(topology.current().nodes[0].error.is_some());
    }
}

#[tokio::test]
async fn a_held_operation_wakes_sleeping_monitors() {
    let node = Node::start().await;
    // Nothing but a held operation makes it ask again within this test.
    let options = options(&[&node], Duration::from_secs(600));
    let topology = Monitor::topology(&options);
    let mut events = topology.events();
    let _monitor = Monitor::start(options, &topology).unwrap();
    assert!(matches!(
        next(&mut events).await,
        TopologyEvent::NodeDown { .. }
    ));
    node.plays(hello("isWritablePrimary", &[&node]));
    let asked = node.heard.lock().len();
    tokio::time::sleep(MIN_HEARTBEAT * 2).await;
    assert_eq!(node.heard.lock().len(), asked, "it sleeps");
    let _hold = topology.hold();
    let kind = NodeKind::Primary;
    assert_eq!(
        next(&mut events).await,
        TopologyEvent::NodeUp {
            address: node.address(),
            kind
        }
    );
}

#[tokio::test]
async fn a_load_balancer_is_not_watched() {
    let node = Node::start().await;
    let mut options = options(&[&node], MIN_HEARTBEAT);
    options.load_balanced = Some(true);
    let topology = Monitor::topology(&options);
    let monitor = Monitor::start(options, &topology).unwrap();
    let snapshot = topology.current();
    assert_eq!(snapshot.kind, TopologyKind::LoadBalanced);
    assert_eq!(snapshot.nodes[0].kind, NodeKind::LoadBalancer);
    monitor.stop().await;
    assert!(node.heard.lock().is_empty());
}

/// The pool is filled and logged in only after ten seconds: too late for a scripted
/// node to notice.
#[test]
fn the_client_is_built_for_watching_only() {
    let credential = Credential::builder().username("user".to_owned()).build();
    let mut options = ClientOptions::builder()
        .credential(credential)
        .min_pool_size(5)
        .build();
    for (heartbeat, timeout, kept_heartbeat, kept_timeout) in [
        (None, None, 1_000, 5_000),
        (Some(10), Some(0), 500, 5_000),
        (Some(700), Some(300), 700, 300),
        (Some(10_000), Some(10_000), 10_000, 5_000),
    ] {
        options.heartbeat_freq = heartbeat.map(Duration::from_millis);
        options.connect_timeout = timeout.map(Duration::from_millis);
        let kept = watching_only(options.clone());
        assert_eq!(kept.credential, None);
        assert_eq!(kept.min_pool_size, None);
        assert_eq!(
            kept.heartbeat_freq,
            Some(Duration::from_millis(kept_heartbeat))
        );
        assert_eq!(
            kept.connect_timeout,
            Some(Duration::from_millis(kept_timeout))
        );
    }
}

#[test]
fn addresses_of_the_driver_take_weirs_form() {
    for (server, node) in [
        (ServerAddress::parse("DB1").unwrap(), "db1:27017"),
        (ServerAddress::parse("db1:27018").unwrap(), "db1:27018"),
        (
            ServerAddress::parse("/tmp/mongodb-27017.sock").unwrap(),
            "/tmp/mongodb-27017.sock",
        ),
    ] {
        assert_eq!(address(&server), NodeAddress::parse(node).unwrap());
    }
}
