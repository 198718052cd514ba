//! What must be as it was when the load is over.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use bson::{Document, doc};
use serde_json::Value;

use weir_tests::cluster::Cluster;
use weir_tests::memory::resident_kib;
use weir_tests::wait::until;
use weir_tests::weir::WeirProcess;

/// Time for what the load has left: kernels, servers and allocators tidy up later.
const SETTLE: Duration = Duration::from_secs(60);
/// Memory may be above its level by a tenth and this: fewer idle pages than a burst's.
const MEMORY_SLACK_KIB: u64 = 16 * 1024;

/// The levels at one moment without load.
#[derive(Clone, Debug)]
pub struct Levels {
    /// Resident memory of Weir.
    pub memory_kib: u64,
    /// Its open files, less one for each upstream connection of its pool.
    pub files: i64,
    /// Cursors that it knows of.
    pub cursors: u64,
    /// Transactions that it has tied to a node.
    pub transactions: u64,
    /// Bytes of messages in flight.
    pub bytes: u64,
    /// Client connections.
    pub clients: u64,
    /// Slots that are leased, opening or closing, and operations that wait for one.
    pub busy: u64,
    /// Cursors open on the server.
    pub server_cursors: i64,
    /// Transactions open on the server.
    pub server_transactions: i64,
}

impl Levels {
    /// Looks once.
    ///
    /// # Errors
    /// When one of them does not answer.
    pub async fn now(weir: &WeirProcess, cluster: &Cluster) -> Result<Self> {
        let status = weir.status().await?;
        let listener = status.pointer("/listeners/0").context("listeners")?;
        let of = |name: &str| listener.get(name).and_then(Value::as_u64).context("status");
        let nodes = listener.get("nodes").and_then(Value::as_array);
        let nodes = nodes.context("nodes")?;
        let sum = |names: &[&str]| -> u64 {
            let all = nodes
                .iter()
                .flat_map(|node| names.iter().filter_map(|name| node.get(*name)));
            all.filter_map(Value::as_u64).sum()
        };
        let (mut server_cursors, mut server_transactions) = (0, 0);
        for index in 0..cluster.members().len() {
            let server = cluster.admin(index, doc! { "serverStatus": 1 }).await?;
            server_cursors += number(&server, &["metrics", "cursor", "open", "total"])?;
            server_transactions += number(&server, &["transactions", "currentOpen"])?;
        }
        let open_files = fs::read_dir(format!("/proc/{}/fd", weir.pid()))?.count();
        let sockets = i64::try_from(sum(&["sockets"]))?;
        Ok(Self {
            memory_kib: resident_kib(weir.pid())?,
            files: i64::try_from(open_files)? - sockets,
            cursors: of("cursors")?,
            transactions: of("transactions")?,
            bytes: of("bytes_in_flight")?,
            clients: status
                .get("clients")
                .and_then(Value::as_u64)
                .context("clients")?,
            busy: sum(&[
                "normal",
                "finishing",
                "awaiting",
                "connecting",
                "closing",
                "queued",
            ]),
            server_cursors,
            server_transactions,
        })
    }

    /// Waits until nothing is above `before`; the levels then, or at last.
    ///
    /// # Errors
    /// When they cannot be had.
    pub async fn settled(
        weir: &WeirProcess,
        cluster: &Cluster,
        before: Option<&Self>,
    ) -> Result<Self> {
        let look = || async {
            let now = Self::now(weir, cluster).await.ok()?;
            now.above(before).is_empty().then_some(now)
        };
        match until("the levels before the load", SETTLE, look).await {
            Ok(levels) => Ok(levels),
            Err(_) => Self::now(weir, cluster).await,
        }
    }

    /// What is above the levels before the load, or above nothing.
    pub fn above(&self, before: Option<&Self>) -> Vec<String> {
        let mut above = Vec::new();
        let mut compare = |what: &str, now: i64, most: i64| {
            if now > most {
                above.push(format!("{what}: {now}, at most {most}"));
            }
        };
        let wide = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        compare("cursors of Weir", wide(self.cursors), 0);
        compare("transactions of Weir", wide(self.transactions), 0);
        compare("bytes in flight", wide(self.bytes), 0);
        compare("clients", wide(self.clients), 0);
        compare("busy slots and waiting operations", wide(self.busy), 0);
        compare("open transactions", self.server_transactions, 0);
        if let Some(before) = before {
            let most = before.memory_kib + before.memory_kib / 10 + MEMORY_SLACK_KIB;
            compare("memory, KiB", wide(self.memory_kib), wide(most));
            // The admin page's own socket comes and goes.
            compare("open files", self.files, before.files + 2);
            compare("open cursors", self.server_cursors, before.server_cursors);
        }
        above
    }
}

fn number(status: &Document, path: &[&str]) -> Result<i64> {
    let (last, parents) = path.split_last().context("no path")?;
    let mut inner = status;
    for name in parents {
        inner = inner.get_document(name)?;
    }
    let value = inner.get(last).context("no number")?;
    value
        .as_i64()
        .or_else(|| value.as_i32().map(i64::from))
        .context("not a number")
}
