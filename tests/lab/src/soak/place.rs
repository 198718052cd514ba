//! Where a Weir is to be found: the addresses stay, the processes come and go.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use bson::doc;
use tokio::sync::{Mutex, MutexGuard};
use weir_kit::process::Signal;

use weir_tests::cluster::Cluster;
use weir_tests::message::op_msg;
use weir_tests::raw::Raw;
use weir_tests::sockets::{Maxima, Sampler, can_count};
use weir_tests::wait::{LIMIT, until};
use weir_tests::weir::WeirProcess;

/// Sockets of each Weir to each server.
pub(super) const CAP: usize = 10;
/// From SIGTERM to the end.
const DRAIN: Duration = Duration::from_secs(8);
/// Commands that are still running on the servers when a Weir is killed, and for how long.
const SLOW: usize = 3;
const SLOW_MS: i32 = 3_000;

/// What has been done to one process; every client that is connected to it keeps this.
#[derive(Debug, Default)]
pub(super) struct Life {
    killed: AtomicBool,
    leaving: AtomicBool,
}

impl Life {
    /// It was killed: who was connected to it hears nothing more.
    pub(super) fn was_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// It was told to leave, and tells its clients so.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }
}

/// One address of the clients' list.
pub(super) struct Place {
    pub(super) address: SocketAddr,
    weir: Mutex<WeirProcess>,
    life: std::sync::Mutex<Arc<Life>>,
    /// Watches whichever process is here; one that has been killed leaves sockets that its
    /// successor has to count.
    sampler: std::sync::Mutex<Option<Sampler>>,
}

impl Place {
    pub(super) async fn start(cluster: &Cluster) -> Result<Self> {
        let weir = builder(cluster).start().await?;
        Ok(Self {
            address: weir.address(),
            weir: Mutex::new(weir),
            life: std::sync::Mutex::default(),
            sampler: std::sync::Mutex::default(),
        })
    }

    /// The process that is here now.
    pub(super) async fn weir(&self) -> MutexGuard<'_, WeirProcess> {
        self.weir.lock().await
    }

    /// What is done to the process that is here now.
    pub(super) fn life(&self) -> Arc<Life> {
        Arc::clone(&lock(&self.life))
    }

    /// Counts sockets to these ports from now on, where that is possible.
    pub(super) async fn watch(&self, ports: Vec<u16>) -> Result<()> {
        if can_count() {
            let sampler = Sampler::limited(self.weir().await.pid(), ports, CAP)?;
            *lock(&self.sampler) = Some(sampler);
        }
        Ok(())
    }

    /// What has been counted; `None` where nothing can be.
    pub(super) fn counted(&self) -> Result<Option<Maxima>> {
        let sampler = lock(&self.sampler).take();
        sampler.map(Sampler::finish).transpose()
    }

    /// SIGTERM under load; another takes its place when it has ended.
    pub(super) async fn drain(&self, cluster: &Cluster) -> Result<()> {
        let mut weir = self.weir().await;
        self.life().leaving.store(true, Ordering::Release);
        let status = weir.stop(DRAIN + Duration::from_secs(2)).await?;
        ensure!(status.success(), "{status}\n{}", weir.log().join("\n"));
        self.replace(&mut weir, cluster).await
    }

    /// SIGKILL under load, with commands that go on without it; another takes its place.
    pub(super) async fn kill(&self, cluster: &Cluster) -> Result<()> {
        let mut weir = self.weir().await;
        let _slow = slow_commands(&weir, cluster).await?;
        self.life().killed.store(true, Ordering::Release);
        weir.signal(Signal::Kill)?;
        weir.wait(DRAIN).await?;
        self.replace(&mut weir, cluster).await
    }

    async fn replace(&self, weir: &mut WeirProcess, cluster: &Cluster) -> Result<()> {
        *lock(&self.life) = Arc::default();
        let successor = builder(cluster).in_place_of(weir).launch().await?;
        if let Some(sampler) = lock(&self.sampler).as_ref() {
            sampler.follow(successor.pid());
        }
        successor.ready().await?;
        *weir = successor;
        let answered = until("an answer of the successor", LIMIT, || async {
            let mut raw = Raw::connect(self.address).await.ok()?;
            raw.command("admin", doc! { "ping": 1 }).await.ok()
        });
        answered.await.map(drop)
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn builder(cluster: &Cluster) -> weir_tests::weir::Builder {
    let drain = format!("{}s", DRAIN.as_secs());
    WeirProcess::builder()
        .upstream(cluster.uri())
        .args(&["--max-connections", &CAP.to_string()])
        .args(&["--behind", "list", "--drain-timeout", &drain])
}

/// They run when this returns, and their clients wait.
async fn slow_commands(weir: &WeirProcess, cluster: &Cluster) -> Result<Vec<Raw>> {
    let primary = cluster.primary().await?;
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let mut raw = Raw::connect(weir.address()).await?;
        let sleep = doc! { "sleep": 1, "millis": SLOW_MS, "lock": "none", "$db": "admin" };
        raw.send(&op_msg(1, 0, 0, &sleep)).await?;
        slow.push(raw);
    }
    let ask = || doc! { "currentOp": 1, "command.sleep": 1 };
    let run = || async {
        let now = cluster.admin(primary, ask()).await.ok()?;
        (now.get_array("inprog").ok()?.len() >= SLOW).then_some(())
    };
    until("slow commands", LIMIT, run).await?;
    Ok(slow)
}
