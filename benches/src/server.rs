//! The server that everything is measured against, with its documents.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use bson::{Binary as Bytes, Document, doc, spec::BinarySubtype};
use weir_kit::Paths;
use weir_kit::mongod::{Binary, ReplicaSet, SetOptions};
use weir_kit::process::Scratch;

use crate::generator::{DATABASE, DOCUMENTS, LARGE, SMALL};

/// The payload of a small document: a typical one has some hundred bytes.
const PAYLOAD: usize = 256;
/// The largest document that a server stores, with room for its other fields.
const ALMOST_16_MB: usize = 16 * 1024 * 1024 - 1024;

/// A replica set of one.
pub(crate) struct Server {
    set: ReplicaSet,
    /// For whatever else is started; removed at the end.
    pub(crate) scratch: Arc<Scratch>,
    /// This program.
    pub(crate) program: PathBuf,
}

impl Server {
    /// Starts the server and fills it.
    pub(crate) fn start() -> Result<Self> {
        let binary = Binary::find(&Paths::of_this_process())?;
        let scratch = Scratch::new(&env::temp_dir(), "weir-bench")?;
        let set = ReplicaSet::start(&binary, &env::temp_dir(), &SetOptions::default())?;
        let server = Self {
            set,
            scratch,
            program: env::current_exe()?,
        };
        server.fill()?;
        Ok(server)
    }

    /// The server's address.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        Ok(self.set.member(0)?.address())
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Result<u32> {
        self.set.member(0)?.pid().context("mongod has ended")
    }

    /// Its connection string.
    pub(crate) fn uri(&self) -> String {
        self.set.uri()
    }

    fn fill(&self) -> Result<()> {
        let mut ask = self.set.member(0)?.ask()?;
        let payload = "x".repeat(PAYLOAD);
        let small: Vec<Document> = (0..DOCUMENTS)
            .map(|id| doc! {"_id": id, "name": format!("student {id}"), "payload": &payload})
            .collect();
        ask.command(DATABASE, doc! {"insert": SMALL, "documents": small})?;
        let payload = Bytes {
            subtype: BinarySubtype::Generic,
            bytes: vec![7; ALMOST_16_MB],
        };
        let large = doc! {"_id": 0, "payload": payload};
        ask.command(DATABASE, doc! {"insert": LARGE, "documents": [large]})?;
        Ok(())
    }
}
