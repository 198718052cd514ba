//! What happens, and when it is over.

use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep};
use weir_kit::process::Signal;

use super::front::Departure;
use super::load::Load;
use super::record::now_ms;
use super::stage::{APPLICATION, SECRET, Stage};
use weir_tests::cluster::Cluster;

/// How long a node stays silent, out of the set, or refuses a password.
const OUTAGE: Duration = Duration::from_secs(15);
/// How long a node is out of the set.
const ABSENCE: Duration = Duration::from_secs(5);
/// How long a node that stepped down stays so.
const STEPPED_DOWN: Duration = Duration::from_secs(10);
/// An application that was told to end at the same moment works on so long.
const WORKS_ON: Duration = Duration::from_secs(8);
/// As sidecar Weir leaves soon after its last client.
const LEAVES_WITHIN: Duration = Duration::from_secs(10);
/// A Weir that stays longer than its deadline is waited for so long.
const GRACE: Duration = Duration::from_secs(10);

/// Something that happens to the set or to Weir.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The primary steps down.
    StepDown,
    /// SIGKILL of the primary; it is started again.
    Kill,
    /// SIGSTOP of the primary: its kernel still accepts and acknowledges.
    Freeze,
    /// The network to the primary is cut.
    Cut,
    /// The primary steps down, leaves the set and comes back.
    Remove,
    /// Every node is restarted, the primary last.
    RollingRestart,
    /// The upstream refuses the login, and every connection breaks.
    Password,
    /// SIGTERM of Weir, as a sidecar, together with its applications.
    WeirTerm,
    /// SIGTERM of one of two Weirs in the applications' strings; another one takes its place.
    WeirList,
    /// SIGTERM of one of two Weirs behind a balancer; another one has joined before.
    WeirBalancer,
    /// SIGKILL of Weir; another one takes its place.
    WeirKill,
}

/// One time that it happened.
#[derive(Clone, Debug)]
pub struct Window {
    /// When it began: ms since 1970.
    pub from: f64,
    /// By then everything worked again.
    pub to: f64,
    /// After so many ms another node was writable.
    pub elected: Option<f64>,
    /// So many ms after its SIGTERM Weir had ended, with 0.
    pub left: Option<f64>,
    /// What did not happen in time, or not well.
    pub late: Option<String>,
}

impl Event {
    /// All.
    pub const ALL: [Self; 11] = [
        Self::StepDown,
        Self::Kill,
        Self::Freeze,
        Self::Cut,
        Self::Remove,
        Self::RollingRestart,
        Self::Password,
        Self::WeirKill,
        Self::WeirTerm,
        Self::WeirList,
        Self::WeirBalancer,
    ];

    /// For the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StepDown => "stepdown",
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::Cut => "cut",
            Self::Remove => "remove",
            Self::RollingRestart => "rolling",
            Self::Password => "password",
            Self::WeirTerm => "weir-term",
            Self::WeirList => "weir-list",
            Self::WeirBalancer => "weir-balancer",
            Self::WeirKill => "weir-kill",
        }
    }

    /// For tables.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::StepDown => "The primary steps down",
            Self::Kill => "kill -9 of the primary, and its restart",
            Self::Freeze => "SIGSTOP of the primary for 15 s",
            Self::Cut => "The network to the primary is cut for 15 s",
            Self::Remove => "The primary steps down, leaves the set for 5 s and comes back",
            Self::RollingRestart => "Rolling restart of all three nodes",
            Self::Password => {
                "The password is changed upstream for 15 s, and all connections break"
            }
            Self::WeirTerm => {
                "SIGTERM of Weir (`--behind none`), while its applications work on for 8 s"
            }
            Self::WeirList => {
                "SIGTERM of one of two Weirs in a list (`--behind list`), and its restart"
            }
            Self::WeirBalancer => {
                "SIGTERM of one of two Weirs behind a balancer (`--behind balancer`, \
                 `loadBalanced=true`), replaced by a third"
            }
            Self::WeirKill => "kill -9 of Weir, and its restart",
        }
    }

    /// Whether retryable work must see no error through Weir.
    #[must_use]
    pub const fn is_survived(self) -> bool {
        !matches!(self, Self::Password | Self::WeirKill)
    }

    /// The longest that Weir may take to leave, when it is told to: then no operation at all
    /// may fail. The defaults of `--drain-timeout`.
    #[must_use]
    pub const fn deadline(self) -> Option<Duration> {
        match self {
            Self::WeirTerm => Some(Duration::from_secs(55)),
            Self::WeirList => Some(Duration::from_secs(25)),
            Self::WeirBalancer => Some(Duration::from_secs(110)),
            _ => None,
        }
    }

    /// Whether drivers keep their connections to Weir. Those of a Weir that leaves are moved.
    #[must_use]
    pub const fn keeps_pools(self) -> bool {
        self.is_survived() && !matches!(self, Self::WeirList | Self::WeirBalancer)
    }

    /// Lets it happen, and waits until everything works again.
    pub(super) async fn happen(self, stage: &mut Stage, load: &Load) -> Result<Window> {
        let mut window = Window {
            from: now_ms(),
            to: 0.0,
            elected: None,
            left: None,
            late: None,
        };
        match self {
            Self::WeirTerm => {
                stage.front.weir.signal(Signal::Terminate)?;
                stage.front.weir.wait_for_log("draining").await?;
                // Not a wait for something: this is what the application does.
                sleep(WORKS_ON).await;
            }
            Self::WeirList | Self::WeirBalancer => {
                let limit = self.deadline().unwrap_or_default() + GRACE;
                let Departure { status, took } = stage.relieve(limit).await?;
                window.ends(status, took);
            }
            Self::WeirKill => stage.replace_weir().await?,
            _ => window.elected = self.strike(&stage.cluster).await?,
        }
        if self == Self::Kill && window.elected.is_none() {
            window.late = Some("the set elected no other primary in 30 s".to_owned());
        }
        stage.cluster.settled().await?;
        if let Err(late) = load.all_succeed_after(now_ms()).await {
            window.late.get_or_insert(late.to_string());
        }
        window.to = now_ms();
        Ok(window)
    }

    /// What happens to the set; when there was another primary, ms later.
    async fn strike(self, cluster: &Cluster) -> Result<Option<f64>> {
        let began = Instant::now();
        let primary = cluster.primary().await?;
        let elected = async || -> Result<Option<f64>> {
            cluster.primary_other_than(Some(primary)).await?;
            Ok(Some(began.elapsed().as_secs_f64() * 1_000.0))
        };
        let mut after = None;
        match self {
            Self::StepDown => {
                cluster.step_down(STEPPED_DOWN).await?;
                after = elected().await?;
            }
            Self::Kill => {
                cluster.kill(primary)?;
                let found = elected().await;
                // A set that elects nobody is no reason to leave the others untried.
                cluster.restart(primary).await?;
                after = found.unwrap_or_default();
            }
            Self::Freeze => {
                cluster.freeze(primary)?;
                after = elected().await?;
                tokio::time::sleep_until(began + OUTAGE).await;
                cluster.thaw(primary)?;
            }
            Self::Cut => {
                cluster.relay(primary)?.cut();
                after = elected().await?;
                tokio::time::sleep_until(began + OUTAGE).await;
                cluster.relay(primary)?.heal();
            }
            Self::Remove => {
                cluster.step_down(STEPPED_DOWN).await?;
                after = elected().await?;
                let member = cluster.remove(primary).await?;
                sleep(ABSENCE).await;
                cluster.add_back(&member).await?;
            }
            Self::RollingRestart => roll(cluster, primary).await?,
            Self::Password => refuse_logins(cluster, began + OUTAGE).await?,
            Self::WeirTerm | Self::WeirList | Self::WeirBalancer | Self::WeirKill => {}
        }
        Ok(after)
    }

    /// The end of a Weir that its applications have left.
    pub(super) async fn afterwards(self, stage: &Stage, windows: &mut [Window]) -> Result<()> {
        if self == Self::WeirTerm {
            let status = stage.front.weir.wait(LEAVES_WITHIN).await.ok();
            for window in windows {
                window.ends(status, now_ms() - window.from);
            }
        }
        Ok(())
    }
}

impl Window {
    /// Weir has ended after so many ms, or has not.
    fn ends(&mut self, status: Option<ExitStatus>, took: f64) {
        match status {
            Some(status) if status.success() => self.left = Some(took),
            Some(status) => self.late = Some(format!("Weir ended with {status}")),
            None => self.late = Some("Weir did not end".to_owned()),
        }
    }
}

/// Another password, and every connection has to log in again.
async fn refuse_logins(cluster: &Cluster, until: Instant) -> Result<()> {
    cluster
        .change_password(APPLICATION, "new-since-today")
        .await?;
    for index in 0..cluster.members().len() {
        cluster.relay(index)?.reset_all();
    }
    tokio::time::sleep_until(until).await;
    cluster.change_password(APPLICATION, SECRET).await
}

/// SIGTERM and a new start for each, one after the other, as a deployment does it.
async fn roll(cluster: &Cluster, primary: usize) -> Result<()> {
    let others = (0..cluster.members().len()).filter(|index| *index != primary);
    for index in others.chain([primary]) {
        cluster.restart(index).await?;
        cluster.settled().await?;
    }
    Ok(())
}
