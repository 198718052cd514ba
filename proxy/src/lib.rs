//! Weir, a multiplexing MongoDB wire-protocol proxy with a hard connection cap.
//!
//! The modules below stand in the order in which a request meets them.
//!
//! | module | its part in the life of a request |
//! |---|---|
//! | [`config`] | flags, environment and file become one complete, typed [`config::Config`] |
//! | [`proxy`] | puts the parts below together |
//! | [`listener`] | accepts a client socket and gives it a task of its own |
//! | [`downstream`] | one client: handshake, login, read a message, write the reply |
//! | [`relay`] | one operation: select a node, check out a connection, attempt, until it has an answer |
//! | [`cluster`] | one upstream: what Weir knows of its nodes, and a pool for each |
//! | [`command`] | what the message asks for, read once from its raw bytes |
//! | [`route`] | which node may serve it |
//! | [`topology`] | what is known about the nodes, as immutable snapshots |
//! | [`pool`] | the bounded set of connections to one node, and the queue before it |
//! | [`upstream`] | one server socket: connect, log in, exchange one request |
//! | [`wire`] | the bytes themselves; pure |
//! | [`scram`] | both sides of a SCRAM conversation; pure |
//! | [`socket`], [`buffer`], [`random`] | what both sides share |
//! | [`limits`] | how many files the process may open, and how many of them clients may take |
//! | [`error`] | every error Weir makes, with its code and labels |
//! | [`drain`] | leaving without a failed operation |
//! | [`metrics`] | counters, gauges and histograms |
//! | [`admin`] | health, status and metrics over HTTP |
//! | [`check`] | whether the settings and the upstream are right, for `weir check` |

pub mod config;

pub mod proxy;

pub use proxy::{Controls, Proxy, StartError, Tally};

pub mod check;

pub mod listener;

pub mod downstream;

pub mod relay;

pub mod cluster;

pub mod command;

pub mod route;

pub mod topology;

pub mod pool;

pub mod upstream;

pub mod wire;

pub mod scram;

pub mod socket;

pub mod buffer;

pub mod random;

pub mod limits;

pub mod error;

pub mod drain;

pub mod metrics;

pub mod admin;
