//! A function under AWS's own emulator, before a shared Weir, before a real replica set.

use anyhow::Result;
use weir_tests::cluster::shared;
use weir_tests::lambda::{Emulator, Function, Language};

use crate::support::Service;

/// All of it.
pub(crate) struct Stage {
    pub(crate) emulator: Emulator,
    pub(crate) service: Service,
    /// Where the extension listens.
    pub(crate) listen: String,
}

impl Stage {
    /// A function of this language, changed as the test needs it. `None`: this machine lacks
    /// something, which is counted as a skip.
    pub(crate) async fn of(
        language: Language,
        change: impl FnOnce(Function) -> Function,
    ) -> Result<Option<Self>> {
        let cluster = shared::login().await?;
        let uri = cluster.uri_with("&appName=exam");
        Self::before(language, &uri, Service::before(cluster).await?, change).await
    }

    /// The same with its own string, and before this service.
    pub(crate) async fn before(
        language: Language,
        uri: &str,
        service: Service,
        change: impl FnOnce(Function) -> Function,
    ) -> Result<Option<Self>> {
        let Some(function) = language.function(uri).await? else {
            return Ok(None);
        };
        let function = change(function.with("WEIR_SERVICE", &service.name()));
        let listen = function.listen().to_owned();
        let emulator = Emulator::start(function).await?;
        Ok(emulator.map(|emulator| Self {
            emulator,
            service,
            listen,
        }))
    }
}
