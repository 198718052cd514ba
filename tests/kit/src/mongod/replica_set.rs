//! One or more servers as a replica set.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bson::{Document, doc};

use super::{Binary, MongodError, Server, ServerOptions, free_port};
use crate::process::{Scratch, until};

/// From replSetInitiate to a writable primary and caught-up secondaries.
const ELECTION_LIMIT: Duration = Duration::from_secs(60);
/// How often a set whose port was taken meanwhile is started anew.
const ATTEMPTS: usize = 3;

/// Priority 0: this member never becomes primary.
pub const UNELECTABLE: u32 = 0;

/// One member's place in the set.
#[derive(Clone, Debug)]
pub struct Member {
    /// The highest priority wins elections; [`UNELECTABLE`] never stands.
    pub priority: u32,
    /// Tags for read preferences.
    pub tags: Vec<(String, String)>,
    /// Where it listens; a free port when `None`.
    pub port: Option<u16>,
    /// Where the set's members and clients shall look for it, when that is not
    /// where it listens: a relay, for example.
    pub advertised: Option<SocketAddr>,
}

impl Default for Member {
    fn default() -> Self {
        Self {
            priority: 1,
            tags: Vec::new(),
            port: None,
            advertised: None,
        }
    }
}

/// How a set is started.
#[derive(Clone)]
pub struct SetOptions {
    /// Its name.
    pub name: String,
    /// Its members; the first one with the highest priority becomes primary.
    pub members: Vec<Member>,
    /// How long secondaries wait for a lost primary (the server's default is 10 s).
    pub election_timeout: Duration,
    /// How each server is started.
    pub server: ServerOptions,
}

impl Default for SetOptions {
    /// One member named `rs0`.
    fn default() -> Self {
        Self {
            name: "rs0".into(),
            members: vec![Member::default()],
            election_timeout: Duration::from_secs(10),
            server: ServerOptions::default(),
        }
    }
}

impl SetOptions {
    /// A set of `count` equal members.
    pub fn of(count: usize) -> Self {
        Self {
            members: vec![Member::default(); count],
            ..Self::default()
        }
    }
}

/// A running set. Dropping it kills its servers and removes their data.
pub struct ReplicaSet {
    name: String,
    members: Vec<Server>,
    advertised: Vec<SocketAddr>,
    scratch: Arc<Scratch>,
}

impl ReplicaSet {
    /// Starts the servers under `parent`, initiates the set and waits until
    /// one member is writable and every other one is a secondary.
    ///
    /// # Errors
    /// When a server ends at start, or no primary appears in time.
    pub fn start(
        binary: &Binary,
        parent: &Path,
        options: &SetOptions,
    ) -> Result<Self, MongodError> {
        let scratch = Scratch::new(parent, "weir-mongod")?;
        Self::start_in(binary, &scratch, options)
    }

    /// As [`ReplicaSet::start`], in a folder that may hold the key file and
    /// certificates already.
    ///
    /// # Errors
    /// As [`ReplicaSet::start`].
    pub fn start_in(
        binary: &Binary,
        scratch: &Arc<Scratch>,
        options: &SetOptions,
    ) -> Result<Self, MongodError> {
        let mut attempt = 1;
        let members = loop {
            match start_servers(binary, scratch, options) {
                Err(MongodError::Ended { .. }) if attempt < ATTEMPTS => attempt += 1,
                result => break result?,
            }
        };
        let advertised = members
            .iter()
            .zip(&options.members)
            .map(|(server, member)| member.advertised.unwrap_or(server.address()))
            .collect();
        let set = Self {
            advertised,
            name: options.name.clone(),
            members,
            scratch: Arc::clone(scratch),
        };
        set.initiate(options)?;
        Ok(set)
    }

    fn initiate(&self, options: &SetOptions) -> Result<(), MongodError> {
        // The member that is asked stands for election first.
        let highest = options.members.iter().map(|member| member.priority).max();
        let first = options
            .members
            .iter()
            .position(|member| Some(member.priority) == highest)
            .unwrap_or(0);
        let config = config(&self.name, options, &self.advertised);
        self.member(first)?
            .ask()?
            .command("admin", doc! { "replSetInitiate": config })?;
        let settled = until(ELECTION_LIMIT, || self.is_settled().then_some(()));
        settled.ok_or(MongodError::TooLong {
            what: "the first election",
            limit: ELECTION_LIMIT,
        })
    }

    /// Whether one member is writable and all others are secondaries.
    pub fn is_settled(&self) -> bool {
        let hellos: Vec<Document> = self
            .members
            .iter()
            .filter_map(|member| member.hello().ok())
            .collect();
        let says = |field: &'static str| {
            hellos
                .iter()
                .filter(|hello| hello.get_bool(field).unwrap_or(false))
                .count()
        };
        says("isWritablePrimary") == 1 && says("secondary") + 1 == self.members.len()
    }

    /// The index of the member that says it is writable.
    pub fn primary(&self) -> Option<usize> {
        self.members.iter().position(|member| {
            member
                .hello()
                .is_ok_and(|hello| hello.get_bool("isWritablePrimary").unwrap_or(false))
        })
    }

    /// One member.
    ///
    /// # Errors
    /// When there is none with that index.
    pub fn member(&self, index: usize) -> Result<&Server, MongodError> {
        self.members.get(index).ok_or(MongodError::NoMember(index))
    }

    /// All members.
    pub fn members(&self) -> &[Server] {
        &self.members
    }

    /// Where clients find the members.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.advertised
    }

    /// The set's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The connection string of the whole set, without credentials.
    pub fn uri(&self) -> String {
        let hosts: Vec<String> = self.addresses().iter().map(ToString::to_string).collect();
        format!("mongodb://{}/?replicaSet={}", hosts.join(","), self.name)
    }

    /// The folder that holds everything of the set.
    pub fn scratch(&self) -> &Arc<Scratch> {
        &self.scratch
    }

    /// Ends the servers with SIGTERM, all at once. Their data stays until drop.
    ///
    /// # Errors
    /// The first failure; the servers after it are killed all the same.
    pub fn stop(&self) -> Result<(), MongodError> {
        std::thread::scope(|scope| {
            let stops: Vec<_> = self
                .members
                .iter()
                .map(|member| scope.spawn(|| member.stop()))
                .collect();
            stops.into_iter().try_for_each(|stop| {
                stop.join()
                    .unwrap_or_else(|_| Err(std::io::Error::other("a stop panicked").into()))
            })
        })
    }
}

fn start_servers(
    binary: &Binary,
    scratch: &Arc<Scratch>,
    options: &SetOptions,
) -> Result<Vec<Server>, MongodError> {
    let mut ports: Vec<u16> = Vec::new();
    for member in &options.members {
        let port = member.port.map_or_else(
            || {
                let mut fresh = free_port()?;
                while ports.contains(&fresh) {
                    fresh = free_port()?;
                }
                Ok::<_, MongodError>(fresh)
            },
            Ok,
        )?;
        ports.push(port);
    }
    let server = ServerOptions {
        set_name: Some(options.name.clone()),
        ..options.server.clone()
    };
    let servers = ports
        .into_iter()
        .map(|port| Server::spawn(binary, scratch, port, server.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    servers.iter().try_for_each(Server::wait_until_it_answers)?;
    Ok(servers)
}

fn config(name: &str, options: &SetOptions, addresses: &[SocketAddr]) -> Document {
    let members: Vec<Document> = options
        .members
        .iter()
        .zip(addresses)
        .zip(0_i32..)
        .map(|((member, address), id)| {
            let tags: Document = member
                .tags
                .iter()
                .map(|(key, value)| (key.clone(), value.as_str().into()))
                .collect();
            doc! {
                "_id": id,
                "host": address.to_string(),
                "priority": f64::from(member.priority),
                "tags": tags,
            }
        })
        .collect();
    let timeout = i32::try_from(options.election_timeout.as_millis()).unwrap_or(i32::MAX);
    // A primary that hears of its set no more often than this time-out resigns now and then
    // when a member is gone.
    let heartbeat = (timeout / 4).clamp(1, 2_000);
    doc! {
        "_id": name,
        "members": members,
        "settings": { "electionTimeoutMillis": timeout, "heartbeatIntervalMillis": heartbeat },
    }
}
