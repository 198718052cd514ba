//! What the end-to-end tests are made with. Nothing here is a mock of a
//! database: [`cluster`] starts real ones.
//!
//! | module | gives |
//! |---|---|
//! | [`cluster`] | real replica sets, with logins, TLS and ways to hurt them |
//! | [`weir`] | a running `weir` program and its logs |
//! | [`balancer`] | a network load balancer with health checks |
//! | [`relay`] | a TCP relay that delays, cuts, resets, stalls and corrupts |
//! | [`scripted`] | a fake server for what a real one cannot be made to do |
//! | [`raw`] | a client that sends any bytes |
//! | [`message`] | messages built and read by hand, apart from Weir's own code |
//! | [`demo`] | a running `weir demo` and its table |
//! | [`python`] | the official Python driver, in two generations |
//! | [`drivers`] | the official drivers and their versions |
//! | [`random`] | numbers that follow from a seed |
//! | [`sockets`] | sockets counted from outside |
//! | [`certificates`] | an authority, a server's and a client's certificate |
//! | [`lambda`] | AWS Lambda's side of the extension: a script, and AWS's emulator |
//! | [`wait`] | waiting for a condition with a deadline |
//! | [`memory`] | the memory of a process |
//! | [`role`] | a fake login by a role of AWS |
//! | [`spec`] | the drivers' public specification files |
//! | [`skip`] | what was not tested on this machine, counted and said |
//! | [`background`] | a thread for helpers that several tests share |
//! | [`paths`] | where parts and temporary files are |
//!
//! Nothing sleeps to let things settle, and whatever is started here ends with
//! the test process, however that ends.

pub mod background;
pub mod balancer;
pub mod certificates;
pub mod cluster;
pub mod demo;
pub mod drivers;
pub mod lambda;
pub mod memory;
pub mod message;
pub mod paths;
pub mod python;
pub mod random;
pub mod raw;
pub mod relay;
pub mod role;
pub mod scripted;
pub mod skip;
pub mod sockets;
pub mod spec;
pub mod wait;
pub mod weir;
