//! The Lambda extension: against a script of Lambda's API for what AWS's emulator cannot be
//! made to do, and under the emulator with real functions.

mod deadlines;
mod demo;
mod drill;
mod freezes;
mod languages;
mod lives;
mod numbers;
mod orphans;
mod python;
mod roads;
mod storm;
mod support;
