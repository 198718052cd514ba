//! Clusters that all tests of a process use together.
//!
//! Started at first use. They are never dropped; their watchers end them when
//! the process ends. Use databases of your own (see [`super::unique`]), and no
//! faults that others could meet.

use anyhow::Result;
use tokio::sync::OnceCell;

use super::Cluster;

/// One member, no login.
///
/// # Errors
/// When it does not come up.
pub async fn single() -> Result<&'static Cluster> {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    CLUSTER.get_or_try_init(|| Cluster::builder().start()).await
}

/// Three members, no login; the last two are tagged `use: reports` and
/// `use: backup`, and only the first one can become primary.
///
/// # Errors
/// When it does not come up.
pub async fn three() -> Result<&'static Cluster> {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    let builder = || {
        Cluster::builder()
            .priorities(&[1, 0, 0])
            .tag(1, "use", "reports")
            .tag(2, "use", "backup")
            .start()
    };
    CLUSTER.get_or_try_init(builder).await
}

/// One member with login.
///
/// # Errors
/// When it does not come up.
pub async fn login() -> Result<&'static Cluster> {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    CLUSTER
        .get_or_try_init(|| Cluster::builder().login().start())
        .await
}

/// One member with login and TLS.
///
/// # Errors
/// When it does not come up.
pub async fn tls() -> Result<&'static Cluster> {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    CLUSTER
        .get_or_try_init(|| Cluster::builder().login().tls().start())
        .await
}
