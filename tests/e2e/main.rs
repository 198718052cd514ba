//! Weir as a whole, between real clients and real servers. One binary, a
//! module per subject; what the helpers are is told in `weir_tests`.
//!
//! A regression test carries the number of its issue in its name.

mod abandoned;
mod auth;
mod away;
mod bad_input;
mod breaker;
mod cli;
mod crud;
mod cursors;
mod demo;
mod ending;
mod errors;
mod fail_points;
mod faults;
mod handshake;
mod harness;
mod limits;
mod logging;
mod measures;
mod messages;
mod overload;
mod pressure;
mod roles;
mod routing;
mod secure;
mod several;
mod stalled;
mod storms;
mod support;
mod transactions;
mod untouched;
mod upstreams;
