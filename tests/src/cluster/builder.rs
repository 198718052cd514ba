//! What a cluster is made of.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bson::doc;
use weir_kit::mongod::{
    Binary, Member, MongodError, ReplicaSet, ServerOptions, SetOptions, free_port,
};
use weir_kit::process::{Scratch, until};

use super::{Cluster, PASSWORD, USER};
use crate::certificates::Certificates;
use crate::paths::{blocking, mongod, paths};
use crate::relay::Relay;
use crate::wait::LIMIT;

/// Elections in tests are quicker than the server's 10 s.
const ELECTION_TIMEOUT: Duration = Duration::from_secs(2);

/// A cluster to be. By default one member, no login, no TLS, test commands on.
#[derive(Clone)]
pub struct Builder {
    members: Vec<Member>,
    login: bool,
    tls: bool,
    relays: bool,
    election_timeout: Duration,
    max_connections: Option<u32>,
    arguments: Vec<String>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            members: vec![Member::default()],
            login: false,
            tls: false,
            relays: false,
            election_timeout: ELECTION_TIMEOUT,
            max_connections: None,
            arguments: Vec::new(),
        }
    }
}

impl Builder {
    /// So many equal members.
    #[must_use]
    pub fn members(mut self, count: usize) -> Self {
        self.members = vec![Member::default(); count];
        self
    }

    /// One member per priority; the highest one becomes primary, 0 never does.
    #[must_use]
    pub fn priorities(mut self, priorities: &[u32]) -> Self {
        let member = |priority: &u32| Member {
            priority: *priority,
            ..Member::default()
        };
        self.members = priorities.iter().map(member).collect();
        self
    }

    /// Tags one member.
    #[must_use]
    pub fn tag(mut self, index: usize, key: &str, value: &str) -> Self {
        if let Some(member) = self.members.get_mut(index) {
            member.tags.push((key.to_owned(), value.to_owned()));
        }
        self
    }

    /// Clients must log in, as [`USER`] for example.
    #[must_use]
    pub fn login(mut self) -> Self {
        self.login = true;
        self
    }

    /// Only TLS is spoken.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// The set knows its members by the addresses of relays, so clients pass
    /// through them even after discovery. So do the members among themselves.
    #[must_use]
    pub fn relays(mut self) -> Self {
        self.relays = true;
        self
    }

    /// How long members wait for a lost primary; 2 s unless set.
    #[must_use]
    pub fn election_timeout(mut self, timeout: Duration) -> Self {
        self.election_timeout = timeout;
        self
    }

    /// Above so many connections a member refuses.
    #[must_use]
    pub fn max_connections(mut self, limit: u32) -> Self {
        self.max_connections = Some(limit);
        self
    }

    /// Further arguments of every mongod.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        self.arguments.extend(arguments);
        self
    }

    /// Starts it and waits until it takes writes.
    ///
    /// # Errors
    /// When there is no mongod, or it does not come up.
    pub async fn start(self) -> Result<Cluster> {
        let binary = mongod().await?;
        blocking(move || self.start_blocking(&binary)).await?
    }

    fn start_blocking(mut self, binary: &Binary) -> Result<Cluster> {
        let scratch = Scratch::new(&paths().temporary, "weir-cluster")?;
        let certificates = self
            .tls
            .then(|| Certificates::make(scratch.path()))
            .transpose()?;
        let relays = if self.relays {
            place_relays(&mut self.members)?
        } else {
            Vec::new()
        };
        let server = ServerOptions {
            max_connections: self.max_connections,
            test_commands: true,
            key_file: self.login.then(|| key_file(scratch.path())).transpose()?,
            tls: certificates
                .as_ref()
                .map(Certificates::for_server)
                .transpose()?,
            arguments: self.arguments,
            ..ServerOptions::default()
        };
        let options = SetOptions {
            members: self.members,
            election_timeout: self.election_timeout,
            server,
            ..SetOptions::default()
        };
        let cluster = Cluster {
            set: Arc::new(ReplicaSet::start_in(binary, &scratch, &options)?),
            relays,
            certificates,
            login: self.login,
        };
        if self.login {
            create_first_users(&cluster)?;
        }
        Ok(cluster)
    }
}

/// A relay before each member, on ports chosen in advance.
fn place_relays(members: &mut [Member]) -> Result<Vec<Relay>> {
    let mut relays = Vec::new();
    for member in members {
        let port = free_port()?;
        let relay = Relay::start(([127, 0, 0, 1], port).into())?;
        member.port = Some(port);
        member.advertised = Some(relay.address());
        relays.push(relay);
    }
    Ok(relays)
}

/// The members' shared secret, readable by the owner alone or mongod refuses it.
fn key_file(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("key");
    let secret: String = (0..8)
        .map(|_| bson::oid::ObjectId::new().to_hex())
        .collect();
    fs::write(&path, secret)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(path)
}

/// Until there is a user, mongod lets loopback create one.
fn create_first_users(cluster: &Cluster) -> Result<()> {
    // A member may step down between the search and the question.
    let created = until(LIMIT, || {
        let member = cluster.set.member(cluster.set.primary()?).ok()?;
        let command = doc! {
            "createUser": USER,
            "pwd": PASSWORD,
            "roles": ["root"],
            "mechanisms": ["SCRAM-SHA-1", "SCRAM-SHA-256"],
            "writeConcern": { "w": "majority" },
        };
        let created = member
            .ask()
            .and_then(|mut ask| Ok(ask.command("admin", command)?));
        match created {
            Ok(_) => Some(Ok(())),
            Err(MongodError::Ask(error)) if error.code().is_some_and(|code| code != 10107) => {
                Some(Err(error))
            }
            Err(_) => None,
        }
    });
    Ok(created.context("no primary took the first user")??)
}
