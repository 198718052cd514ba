//! The Weirs that applications meet, and their replacement.

use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Result;
use weir_kit::process::Signal;

use super::event::Event;
use super::record::now_ms;
use super::stage::{CAP, hosts, login};
use weir_tests::balancer::{Balancer, Target};
use weir_tests::cluster::Cluster;
use weir_tests::weir::{Builder, WeirProcess};

/// One Weir, two in a list, or two behind a balancer.
pub(super) struct Front {
    /// The one to which things happen.
    pub(super) weir: WeirProcess,
    /// The other one.
    twin: Option<WeirProcess>,
    balancer: Option<Balancer>,
    builder: Builder,
}

/// How a Weir that was told to leave has left.
pub(super) struct Departure {
    /// `None`: it had to be killed.
    pub(super) status: Option<ExitStatus>,
    /// How long it took, ms.
    pub(super) took: f64,
}

impl Front {
    /// What stands before `cluster` while this happens.
    pub(super) async fn start(cluster: &Cluster, event: Event) -> Result<Self> {
        let behind = match event {
            Event::WeirList => "list",
            Event::WeirBalancer => "balancer",
            _ => "none",
        };
        // As an operator would start it.
        let builder = WeirProcess::builder()
            .upstream(login(&hosts(cluster), "&replicaSet=rs0"))
            .args(&["--max-connections", &CAP.to_string(), "--behind", behind]);
        let weir = builder.clone().start().await?;
        let twin = match event {
            Event::WeirList | Event::WeirBalancer => Some(builder.clone().start().await?),
            _ => None,
        };
        let balancer = match event {
            Event::WeirBalancer => Some(Balancer::start(
                [&weir].into_iter().chain(&twin).map(target),
            )?),
            _ => None,
        };
        Ok(Self {
            weir,
            twin,
            balancer,
            builder,
        })
    }

    /// The applications' string.
    pub(super) fn uri(&self) -> String {
        let one = self.weir.address();
        match (&self.balancer, &self.twin) {
            (Some(balancer), _) => login(&balancer.address().to_string(), "&loadBalanced=true"),
            (None, Some(twin)) => login(&format!("{one},{}", twin.address()), ""),
            (None, None) => login(&one.to_string(), ""),
        }
    }

    /// All of them.
    pub(super) fn weirs(&self) -> impl Iterator<Item = &WeirProcess> {
        [&self.weir].into_iter().chain(&self.twin)
    }

    /// SIGKILL of the first, and another one at its addresses, which is not ready yet.
    pub(super) async fn replace(&mut self, limit: Duration) -> Result<()> {
        self.weir.signal(Signal::Kill)?;
        self.weir.wait(limit).await?;
        self.weir = self
            .builder
            .clone()
            .in_place_of(&self.weir)
            .launch()
            .await?;
        Ok(())
    }

    /// SIGTERM of the first, as a deployment does it, and what came of it. In a list another
    /// one takes its place afterwards, behind a balancer one has joined before. The other one
    /// is the first then.
    pub(super) async fn relieve(&mut self, limit: Duration) -> Result<Departure> {
        let joined = match &self.balancer {
            Some(balancer) => {
                let another = self.builder.clone().start().await?;
                balancer.add(target(&another));
                Some(another)
            }
            None => None,
        };
        let asked = now_ms();
        self.weir.signal(Signal::Terminate)?;
        let status = self.weir.wait(limit).await.ok();
        let took = now_ms() - asked;
        if status.is_none() {
            self.weir.signal(Signal::Kill)?;
        }
        if let Some(balancer) = &self.balancer {
            balancer.remove(self.weir.address());
        }
        let another = match joined {
            Some(another) => another,
            None => self.builder.clone().in_place_of(&self.weir).start().await?,
        };
        self.weir = match self.twin.replace(another) {
            Some(twin) => twin,
            None => anyhow::bail!("there was one Weir only"),
        };
        Ok(Departure { status, took })
    }

    /// The one that joined last.
    pub(super) fn newest(&self) -> &WeirProcess {
        self.twin.as_ref().unwrap_or(&self.weir)
    }
}

fn target(weir: &WeirProcess) -> Target {
    Target {
        address: weir.address(),
        health: Some(weir.admin_address()),
    }
}
