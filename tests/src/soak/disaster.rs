//! What happens to whole nodes, and to everybody at once, in the order of a seed.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::report::Report;
use crate::cluster::Cluster;
use crate::random::Random;

/// How long a node that stepped down stays so.
const STEPPED_DOWN: Duration = Duration::from_secs(5);
/// How long a node is frozen or cut off: longer than Weir believes in it.
const SILENCE: Duration = Duration::from_secs(8);
/// Between two disasters, at most twice this.
const PEACE: Duration = Duration::from_secs(2);

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disaster {
    /// The primary steps down.
    StepDown,
    /// SIGKILL of the primary, and its restart.
    Kill,
    /// SIGSTOP of the primary, for a while.
    Freeze,
    /// The network to the primary is cut, for a while.
    Cut,
    /// Every connection to the primary is reset.
    ResetAll,
    /// Many more clients than usual, all at once.
    Burst,
}

impl Disaster {
    const ALL: [Self; 6] = [
        Self::StepDown,
        Self::Kill,
        Self::Burst,
        Self::ResetAll,
        Self::Freeze,
        Self::Cut,
    ];

    /// So many, in the order of the seed: each kind once, then once again in another order.
    #[must_use]
    pub fn sequence(seed: u64, count: usize) -> Vec<Self> {
        let mut random = Random::new(seed, u64::MAX);
        let mut all = Vec::new();
        while all.len() < count {
            let mut round = Self::ALL.to_vec();
            while !round.is_empty() {
                let end = u64::try_from(round.len()).unwrap_or(1);
                let at = usize::try_from(random.below(end)).unwrap_or(0);
                all.push(round.swap_remove(at));
            }
        }
        all.truncate(count);
        all
    }

    /// For the report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StepDown => "stepdowns",
            Self::Kill => "primaries killed",
            Self::Freeze => "primaries frozen",
            Self::Cut => "primaries cut off",
            Self::ResetAll => "resets of all connections",
            Self::Burst => "bursts",
        }
    }
}

/// Lets them happen, one after the other, each until the set is whole again; `burst` is
/// called for those that are no matter of the set.
pub(super) async fn strike<F: Future<Output = Result<()>>>(
    cluster: &Cluster,
    disasters: &[Disaster],
    seed: u64,
    report: &Report,
    burst: impl Fn() -> F,
) -> Result<()> {
    let mut random = Random::new(seed, u64::MAX - 1);
    let twice = u64::try_from(PEACE.as_millis() * 2)?;
    for disaster in disasters {
        sleep(Duration::from_millis(random.below(twice))).await;
        let primary = cluster.settled().await?;
        println!("{disaster:?} of member {primary}");
        match disaster {
            Disaster::StepDown => drop(cluster.step_down(STEPPED_DOWN).await?),
            Disaster::Kill => {
                cluster.kill(primary)?;
                cluster.primary_other_than(Some(primary)).await?;
                cluster.restart(primary).await?;
            }
            Disaster::Freeze => {
                cluster.freeze(primary)?;
                sleep(SILENCE).await;
                cluster.thaw(primary)?;
            }
            Disaster::Cut => {
                cluster.relay(primary)?.cut();
                sleep(SILENCE).await;
                cluster.relay(primary)?.heal();
            }
            Disaster::ResetAll => cluster.relay(primary)?.reset_all(),
            Disaster::Burst => burst().await?,
        }
        report.count(disaster.name());
        cluster.settled().await?;
    }
    Ok(())
}
