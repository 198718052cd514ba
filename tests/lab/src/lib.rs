//! The laboratory: programs that measure Weir, judge it and write the pages of `docs/results`.
//!
//! | module | gives |
//! |---|---|
//! | [`matrix`] | every official driver, every feature, every fault: what each makes of it |
//! | [`reliability`] | drivers at work while something happens, directly and through Weir |
//! | [`rolling`] | Weirs that are replaced while every driver works through them |
//! | [`soak`] | a load with unique payloads, faults, a ledger and checks |
//! | [`suites`] | the Go driver's own tests, directly and through Weir |
//! | [`lambda`] | what the extension costs, many environments at once, a migration |
//!
//! It is built from the harness, `weir_tests`. Its tests are in `tests/heavy` and `tests/rolling`.

pub mod lambda;
pub mod matrix;
pub mod reliability;
pub mod rolling;
pub mod soak;
pub mod suites;
