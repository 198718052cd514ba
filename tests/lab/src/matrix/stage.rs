//! Where the features are tried: a real set of three with tags and logins, one that speaks
//! only TLS, a scripted server of a newer wire version, and two Weirs before each of them,
//! because two programs run at a time and a Weir has one `failCommand`.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use bson::doc;
use serde_json::{Value, json};
use weir_kit::mongod::Server;

use super::store::Store;
use weir_tests::cluster::{Builder, Cluster, PASSWORD_IN_URI, USER};
use weir_tests::drivers::Driver;
use weir_tests::paths::paths;
use weir_tests::skip::skip;
use weir_tests::weir::WeirProcess;

/// On a machine that is busy with two programs an election would be our own doing.
const ELECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// The first wire version with the client's bulkWrite.
pub const BULK_WRITE: i64 = 25;

/// A endpoint to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Face {
    /// Without Weir.
    Direct,
    /// Through Weir as a mongos.
    Mongos,
    /// Through Weir with `loadBalanced=true`.
    Balanced,
}

impl Face {
    /// All.
    pub const ALL: [Self; 3] = [Self::Direct, Self::Mongos, Self::Balanced];

    /// As plans and tables name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Mongos => "mongos",
            Self::Balanced => "balanced",
        }
    }
}

/// What the features run on.
pub struct Stage {
    set: Cluster,
    /// `None` where the server has no TLS.
    tls: Option<Cluster>,
    store: Store,
    lanes: Vec<Lane>,
    primary: usize,
    /// The server's version.
    pub version: String,
    /// Its `maxWireVersion`.
    pub wire_version: i64,
}

/// The Weirs of one running program.
struct Lane {
    set: WeirProcess,
    tls: Option<WeirProcess>,
    store: WeirProcess,
}

impl Stage {
    /// Starts everything.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn start() -> Result<Self> {
        let set = Cluster::builder()
            .priorities(&[1, 0, 0])
            .tag(1, "region", "east")
            .tag(2, "region", "west")
            .election_timeout(ELECTION_TIMEOUT)
            .login();
        Self::with(set).await
    }

    /// Starts everything around a set of one, for servers that are slow here.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn small() -> Result<Self> {
        Self::with(Cluster::builder().login()).await
    }

    async fn with(set: Builder) -> Result<Self> {
        let tls = Cluster::builder().login().tls();
        let (set, tls) = tokio::join!(set.start(), tls.start());
        let tls = match tls {
            Ok(tls) => Some(tls),
            // Not every build of a server reads our certificates; ours does.
            Err(error) if paths().mongod.is_some() => {
                skip("TLS to the upstream", &error.to_string());
                None
            }
            Err(error) => return Err(error),
        };
        Self::before(set?, tls, 2).await
    }

    /// Around clusters that run already, with so many Weirs before each.
    ///
    /// # Errors
    /// When a Weir does not come up.
    pub async fn before(set: Cluster, tls: Option<Cluster>, lanes: usize) -> Result<Self> {
        let primary = set.settled().await?;
        let build = set.admin(primary, doc! { "buildInfo": 1 }).await?;
        let hello = set.hello(primary).await?;
        let store = Store::start()?;
        let mut stage = Self {
            version: build.get_str("version")?.to_owned(),
            wire_version: hello.get_i32("maxWireVersion")?.into(),
            set,
            tls,
            store,
            lanes: Vec::new(),
            primary,
        };
        for _ in 0..lanes {
            stage.lanes.push(stage.lane().await?);
        }
        Ok(stage)
    }

    async fn lane(&self) -> Result<Lane> {
        let weir = |upstream: String| {
            WeirProcess::builder()
                .upstream(upstream)
                .unix()
                .args(&["--enable-test-commands", "--hold-timeout", "2s"])
                .start()
        };
        let tls = match &self.tls {
            Some(tls) => Some(weir(tls.uri()).await?),
            None => None,
        };
        Ok(Lane {
            set: weir(self.set.uri()).await?,
            store: weir(self.store.uri()).await?,
            tls,
        })
    }

    /// The plan of the real server; `features` that it is to try.
    ///
    /// # Errors
    /// When there is no such lane.
    pub fn plan(
        &self,
        driver: Driver,
        face: Face,
        lane: usize,
        features: &[String],
    ) -> Result<Value> {
        let secondaries = self.set.members().len() > 1;
        let (uri, mut uris) = match face {
            Face::Direct => self.direct()?,
            Face::Mongos | Face::Balanced => self.through(face, lane)?,
        };
        for (name, mechanism) in [("sha1", "SCRAM-SHA-1"), ("sha256", "SCRAM-SHA-256")] {
            uris.insert(
                name.to_owned(),
                format!("{uri}&authMechanism={mechanism}").into(),
            );
        }
        Ok(json!({
            "mode": "features",
            "face": face.name(),
            "uri": uri,
            "uris": uris,
            "database": format!("m_{}_{}", driver.key(), face.name()),
            "features": features,
            "server": { "version": self.version, "maxWireVersion": self.wire_version },
            "secondaries": secondaries,
        }))
    }

    fn direct(&self) -> Result<(String, serde_json::Map<String, Value>)> {
        let member = self.set.member(self.primary)?;
        let socket = escaped(&member.unix_socket());
        let mut uris = serde_json::Map::new();
        let unix = login(&socket, "&directConnection=true");
        uris.insert("unix".into(), unix.into());
        Ok((self.set.uri(), uris))
    }

    fn through(&self, face: Face, lane: usize) -> Result<(String, serde_json::Map<String, Value>)> {
        let lane = self.lanes.get(lane).context("no such lane")?;
        let option = option(face);
        let of = |address: SocketAddr| login(&address.to_string(), option);
        let mut uris = serde_json::Map::new();
        let unix = login(&escaped(lane.set.unix_socket()), option);
        uris.insert("unix".into(), unix.into());
        if let Some(tls) = &lane.tls {
            uris.insert("tls".into(), of(tls.address()).into());
        }
        let balanced = login(&lane.set.address().to_string(), "&loadBalanced=true");
        uris.insert("balanced".into(), balanced.into());
        Ok((of(lane.set.address()), uris))
    }

    /// The plan of the scripted server.
    ///
    /// # Errors
    /// When there is no such lane.
    pub fn scripted_plan(&self, driver: Driver, face: Face, lane: usize) -> Result<Value> {
        let uri = match face {
            Face::Direct => self.store.uri(),
            Face::Mongos | Face::Balanced => {
                let lane = self.lanes.get(lane).context("no such lane")?;
                lane.store.uri(option(face).trim_start_matches('&'))
            }
        };
        Ok(json!({
            "mode": "features",
            "face": face.name(),
            "uri": uri,
            "uris": {},
            "database": format!("m_{}_{}_bulk", driver.key(), face.name()),
            "features": ["client-bulk-write"],
            "server": { "version": Store::VERSION, "maxWireVersion": BULK_WRITE },
            "secondaries": false,
        }))
    }

    /// What cannot be tried in a face, with the reason.
    #[must_use]
    pub fn not_applicable(&self, face: Face, feature: &str) -> Option<String> {
        let reason = match (face, feature) {
            (Face::Direct, "balanced") => "a replica set is no load-balanced service",
            (Face::Direct, "tls") => "TLS is between Weir and the server here",
            (_, "tls") if self.tls.is_none() => {
                "this build of the server does not start with TLS here"
            }
            _ => return None,
        };
        Some(reason.to_owned())
    }

    /// Whether the primary is there and answers: a server that crashes may take ten seconds
    /// to write down why.
    #[must_use]
    pub fn server_lives(&self) -> bool {
        let answers = |server: &Server| server.runs() && server.hello().is_ok();
        self.set.member(self.primary).is_ok_and(answers)
    }

    /// What the Weirs of a lane have logged above the level of information.
    #[must_use]
    pub fn complaints(&self, lane: usize) -> Vec<String> {
        let Some(lane) = self.lanes.get(lane) else {
            return Vec::new();
        };
        let lines = lane.set.log().into_iter();
        lines.filter(|line| line.contains("\"ERROR\"")).collect()
    }
}

fn option(face: Face) -> &'static str {
    match face {
        Face::Balanced => "&loadBalanced=true",
        Face::Direct | Face::Mongos => "",
    }
}

fn login(host: &str, options: &str) -> String {
    format!("mongodb://{USER}:{PASSWORD_IN_URI}@{host}/?authSource=admin{options}")
}

/// A socket's path as a connection string carries it.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace('/', "%2F")
}
