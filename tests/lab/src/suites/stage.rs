//! The servers of a run: one replica set for all endpoints, two Weirs in front of it.

use anyhow::Result;

use super::Endpoint;
use weir_tests::balancer::Balancer;
use weir_tests::cluster::Cluster;
use weir_tests::weir::WeirProcess;

/// Everything that is up during a run.
pub struct Stage {
    cluster: Cluster,
    first: WeirProcess,
    second: WeirProcess,
    balancer: Balancer,
}

impl Stage {
    /// Starts all of it. Two Weirs stand for two routers, so neither asks around for a
    /// cursor that the other has opened.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn start(members: usize) -> Result<Self> {
        let cluster = Cluster::builder().members(members).start().await?;
        cluster.settled().await?;
        let weir = || {
            WeirProcess::builder()
                .upstream(cluster.uri())
                .args(&["--enable-test-commands", "--no-probe"])
                .start()
        };
        let (first, second) = (weir().await?, weir().await?);
        let balancer = Balancer::start([first.address(), second.address()])?;
        Ok(Self {
            cluster,
            first,
            second,
            balancer,
        })
    }

    /// The environment by which the driver's tests find their servers.
    pub fn environment(&self, endpoint: Endpoint) -> Vec<(&'static str, String)> {
        let balanced = |address| format!("mongodb://{address}/?loadBalanced=true");
        match endpoint {
            Endpoint::Direct => vec![("MONGODB_URI", self.cluster.uri())],
            Endpoint::Mongos => {
                let (first, second) = (self.first.address(), self.second.address());
                vec![("MONGODB_URI", format!("mongodb://{first},{second}/"))]
            }
            Endpoint::LoadBalanced => {
                let one = balanced(self.first.address());
                vec![
                    ("MONGODB_URI", one.clone()),
                    ("SINGLE_MONGOS_LB_URI", one),
                    ("MULTI_MONGOS_LB_URI", balanced(self.balancer.address())),
                    ("LOAD_BALANCER", "true".to_owned()),
                ]
            }
        }
    }
}
