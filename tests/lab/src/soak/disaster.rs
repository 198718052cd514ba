//! What happens to whole nodes, to whole Weirs and to everybody at once, in the order of a
//! seed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::time::sleep;

use super::place::Place;
use super::report::Report;
use weir_tests::cluster::Cluster;
use weir_tests::random::Random;

/// How long a node that stepped down stays so.
const STEPPED_DOWN: Duration = Duration::from_secs(5);
/// How long a node is frozen or cut off: longer than Weir believes in it.
const SILENCE: Duration = Duration::from_secs(8);
/// After it the node closes what was given up meanwhile. The set may be whole at once: another
/// member has become primary long ago.
const CATCHING_UP: Duration = Duration::from_secs(5);
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
    /// SIGTERM of a Weir, and a successor at its address.
    Drain,
    /// SIGKILL of a Weir, and a successor at its address.
    Death,
}

impl Disaster {
    /// What happens to nodes and clients.
    const AROUND: [Self; 6] = [
        Self::StepDown,
        Self::Kill,
        Self::Burst,
        Self::ResetAll,
        Self::Freeze,
        Self::Cut,
    ];

    /// What happens to Weir itself.
    const OWN: [Self; 2] = [Self::Drain, Self::Death];

    /// So many, in the order of the seed: each kind once, then once again in another order.
    /// Every third one is Weir's own.
    #[must_use]
    pub fn sequence(seed: u64, count: usize) -> Vec<Self> {
        let mut random = Random::new(seed, u64::MAX);
        let mut all = Vec::new();
        while all.len() < count {
            let (mut around, mut own) = (Self::AROUND.to_vec(), Self::OWN.to_vec());
            while !around.is_empty() || !own.is_empty() {
                all.extend(take_any(&mut around, &mut random));
                all.extend(take_any(&mut around, &mut random));
                all.extend(take_any(&mut own, &mut random));
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
            Self::Drain => "Weirs drained",
            Self::Death => "Weirs killed",
        }
    }
}

fn take_any(from: &mut Vec<Disaster>, random: &mut Random) -> Option<Disaster> {
    let at = random.below(u64::try_from(from.len()).unwrap_or(1).max(1));
    let at = usize::try_from(at).unwrap_or(0);
    (at < from.len()).then(|| from.swap_remove(at))
}

/// A node that answered nobody.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    /// Where it is to be found.
    pub port: u16,
    /// When it fell silent.
    pub from: Instant,
    /// When the farewells that it slept through have been heard, too.
    pub until: Instant,
}

/// Where disasters happen.
pub(super) struct Scene<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) places: &'a [Place],
    pub(super) report: &'a Report,
    pub(super) seed: u64,
    /// When the load began.
    pub(super) began: Instant,
}

impl Scene<'_> {
    /// Lets them happen, one after the other, each until the set is whole again; `burst` is
    /// called for those that are no matter of the set. Returns when which node was silent.
    pub(super) async fn strike<F: Future<Output = Result<()>>>(
        &self,
        disasters: &[Disaster],
        burst: impl Fn() -> F,
    ) -> Result<Vec<Silence>> {
        let mut random = Random::new(self.seed, u64::MAX - 1);
        let twice = u64::try_from(PEACE.as_millis() * 2)?;
        let mut silences = Vec::new();
        let began = self.began;
        for disaster in disasters {
            sleep(Duration::from_millis(random.below(twice))).await;
            let place = random.below(u64::try_from(self.places.len())?);
            let primary = self.cluster.settled().await?;
            let from = Instant::now();
            println!(
                "at {:.1} s: {disaster:?}; member {primary} is primary, Weir {place} would be \
                 the one",
                from.duration_since(began).as_secs_f64()
            );
            match disaster {
                Disaster::Burst => burst().await?,
                Disaster::Drain | Disaster::Death => {
                    let place = self.places.get(usize::try_from(place)?);
                    self.befall_weir(*disaster, place.context("no Weir")?)
                        .await?;
                }
                other => self.befall_node(*other, primary).await?,
            }
            self.report.count(disaster.name());
            self.cluster.settled().await?;
            if matches!(disaster, Disaster::Freeze | Disaster::Cut) {
                let port = self.cluster.relay(primary)?.address().port();
                let until = Instant::now() + CATCHING_UP;
                silences.push(Silence { port, from, until });
            }
        }
        Ok(silences)
    }

    async fn befall_weir(&self, disaster: Disaster, place: &Place) -> Result<()> {
        match disaster {
            Disaster::Drain => place.drain(self.cluster).await,
            _ => place.kill(self.cluster).await,
        }
    }

    async fn befall_node(&self, disaster: Disaster, primary: usize) -> Result<()> {
        let cluster = self.cluster;
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
            _ => cluster.relay(primary)?.reset_all(),
        }
        Ok(())
    }
}
