//! Every official driver, every feature, every fault: what each makes of it.
//!
//! The programs are in `tests/drivers`, one folder per language; its README is the
//! contract. [`features`] runs them against a replica set directly and through Weir in
//! both faces and compares. [`errors`] shows each of Weir's own errors to each driver and
//! judges what it does. The documents `docs/results/drivers.md` and `docs/results/errors.md` are written
//! from what they return, never by hand.

pub mod document;
pub mod errors;
pub mod features;
pub mod program;
pub mod report;
pub mod servers;
pub mod stage;
pub mod store;
