//! From the settings of an upstream to the [`Connector`] for its nodes.

use std::sync::Arc;

use crate::config::{Upstream, tls};
use crate::upstream::Connector;
use crate::upstream::auth::{Principal, Unusable};
use crate::wire::compressed::Compressor;

/// Why no connection could ever be made with these settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// TLS files cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// Nobody could ever log in with it.
    #[error(transparent)]
    Login(#[from] Unusable),
}

impl Connector {
    /// What connects to the nodes of `upstream`; `process_id` is this process, which must not be
    /// its own upstream. TLS files are read now.
    ///
    /// # Errors
    /// [`SetupError`] for TLS files or a login that cannot be used.
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
