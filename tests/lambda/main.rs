//! The Lambda extension: against a script of Lambda's API for what AWS's emulator cannot be
//! made to do, and under the emulator with real functions.

#![allow(
    clippy::indexing_slicing,
    reason = "all of this is a test, and a JSON value has null for what it lacks"
)]

mod agreement;
mod cargo_lambda;
mod deadlines;
mod demo;
mod endpoints;
mod flows;
mod freezes;
mod frozen;
mod languages;
mod lives;
mod managed;
mod orphans;
mod python;
mod robust;
mod stage;
mod support;
mod warm;
mod watching;
