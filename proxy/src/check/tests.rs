//! What is concluded from what was seen.

use std::collections::BTreeMap;

use crate::config::settings::name;
use crate::config::{Config, Flags};

mod advice;
mod judge;

async fn config(upstream: &str, listen: &str) -> Config {
    let flags = Flags::default()
        .with(name::UPSTREAM, upstream)
        .with(name::LISTEN, listen);
    let none: BTreeMap<String, String> = BTreeMap::new();
    Config::load(&flags, &none, false).await.unwrap()
}
