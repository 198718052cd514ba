//! Makes the [`Connector`] for an upstream from its settings.

use std::sync::Arc;

use crate::config::{Upstream, tls};
use crate::upstream::Connector;
use crate::upstream::auth::{Principal, Unusable};
use crate::wire::compressed::Compressor;

/// Why no connection can be made with these settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The TLS files cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// The credential can never log in.
    #[error(transparent)]
    Login(#[from] Unusable),
}

impl Connector {
    /// A connector for the nodes of `upstream`. It reads the TLS files now. `process_id` identifies
    /// this process, which must not be its own upstream.
    ///
    /// # Errors
    /// [`SetupError`]: the TLS files or the credential cannot be used.
    pub fn new(upstream: &Upstream, process_id: [u8; 12]) -> Result<Self, SetupError> {
        let codec = |name: &String| match Compressor::from_name(name) {
            Some(Compressor::Zlib(_)) => Some(Compressor::Zlib(upstream.zlib_level)),
            other => other,
        };
        let tls = upstream.tls.as_ref().map(tls::client_config).transpose()?;
        let principal = upstream
            .credential
            .as_ref()
            .map(Principal::new)
            .transpose()?;
        Ok(Self {
            tls: tls.map(Arc::new),
            principal: principal.map(Arc::new),
            app_name: upstream.app_name.clone(),
            compressors: upstream.compressors.iter().filter_map(codec).collect(),
            time_limit: upstream.connect_timeout,
            load_balanced: upstream.load_balanced,
            process_id,
        })
    }
}
