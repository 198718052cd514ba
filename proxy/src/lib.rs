//! Weir, a multiplexing MongoDB wire-protocol proxy with a hard connection cap.
//!
//! The modules below stand in the order in which a request meets them.
//!
//! | module | its part in the life of a request |
//! |---|---|
//! | [`config`] | flags, environment and file become one complete, typed [`config::Config`] |
//! | `proxy` | puts the parts below together |
//! | `listener` | accepts a client socket and gives it a task of its own |
//! | `downstream` | one client: handshake, login, read a message, write the reply |
//! | `relay` | one operation: select a node, check out a connection, attempt, until it has an answer |
//! | `cluster` | one upstream: what Weir knows of its nodes, and a pool for each |
//! | `command` | what the message asks for, read once from its raw bytes |
//! | `route` | which node may serve it |
//! | `topology` | what is known about the nodes, as immutable snapshots |
//! | `pool` | the bounded set of connections to one node, and the queue before it |
//! | `upstream` | one server socket: connect, log in, exchange one request |
//! | `wire` | the bytes themselves; pure |
//! | `scram` | both sides of a SCRAM conversation; pure |
//! | `socket`, `buffer`, `random` | what both sides share |
//! | `limits` | how many files the process may open, and how many of them clients may take |
//! | `error` | every error Weir makes, with its code and labels |
//! | `drain` | leaving without a failed operation |
//! | `metrics` | counters, gauges and histograms |
//! | `admin` | health, status and metrics over HTTP |
//! | [`log`] | log output that cannot stop or kill the program |
//! | [`check`] | whether the settings and the upstream are right, for `weir check` |

// `pub` in a private module is the crate's own business.
#![cfg_attr(not(feature = "internals"), allow(unreachable_pub))]

// The public face. Everything else is private, so that the compiler finds dead code.
pub mod check;
pub mod config;
pub mod log;

pub use admin::{NodeStatus, ServiceStatus, Status, recorder};
pub use drain::Drain;
pub use limits::raise_open_files;
pub use proxy::{Controls, Proxy, StartError, Tally};
pub use random::secret;

#[cfg(not(feature = "internals"))]
mod admin;
#[cfg(not(feature = "internals"))]
mod buffer;
#[cfg(not(feature = "internals"))]
mod cluster;
#[cfg(not(feature = "internals"))]
mod command;
#[cfg(not(feature = "internals"))]
mod downstream;
#[cfg(not(feature = "internals"))]
mod drain;
#[cfg(not(feature = "internals"))]
mod error;
#[cfg(not(feature = "internals"))]
mod limits;
#[cfg(not(feature = "internals"))]
mod listener;
#[cfg(not(feature = "internals"))]
mod metrics;
#[cfg(not(feature = "internals"))]
mod pool;
#[cfg(not(feature = "internals"))]
mod proxy;
#[cfg(not(feature = "internals"))]
mod random;
#[cfg(not(feature = "internals"))]
mod relay;
#[cfg(not(feature = "internals"))]
mod route;
#[cfg(not(feature = "internals"))]
mod scram;
#[cfg(not(feature = "internals"))]
mod socket;
#[cfg(not(feature = "internals"))]
mod topology;
#[cfg(not(feature = "internals"))]
mod upstream;
#[cfg(not(feature = "internals"))]
mod wire;

// What lies behind it, for the tests, benchmarks and fuzz targets of this repository.
#[cfg(feature = "internals")]
pub mod admin;
#[cfg(feature = "internals")]
pub mod buffer;
#[cfg(feature = "internals")]
pub mod cluster;
#[cfg(feature = "internals")]
pub mod command;
#[cfg(feature = "internals")]
pub mod downstream;
#[cfg(feature = "internals")]
pub mod drain;
#[cfg(feature = "internals")]
pub mod error;
#[cfg(feature = "internals")]
pub mod limits;
#[cfg(feature = "internals")]
pub mod listener;
#[cfg(feature = "internals")]
pub mod metrics;
#[cfg(feature = "internals")]
pub mod pool;
#[cfg(feature = "internals")]
pub mod proxy;
#[cfg(feature = "internals")]
pub mod random;
#[cfg(feature = "internals")]
pub mod relay;
#[cfg(feature = "internals")]
pub mod route;
#[cfg(feature = "internals")]
pub mod scram;
#[cfg(feature = "internals")]
pub mod socket;
#[cfg(feature = "internals")]
pub mod topology;
#[cfg(feature = "internals")]
pub mod upstream;
#[cfg(feature = "internals")]
pub mod wire;
