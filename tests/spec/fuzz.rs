//! The fuzz targets' bodies over damaged seeds, for a bounded time: what can be had
//! on stable, without libFuzzer. The targets themselves are in `proxy/fuzz`.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a target speaks by panicking"
)]

#[path = "../../proxy/fuzz/src/lib.rs"]
#[allow(unreachable_pub, dead_code, reason = "the fuzz crate exports them")]
mod bodies;

use bodies::TARGETS;

#[test]
fn every_target_has_a_body() {
    assert_eq!(TARGETS.len(), 15);
}
