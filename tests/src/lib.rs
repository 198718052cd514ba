//! What the end-to-end tests are made with. Nothing here is a mock of a
//! database: [`cluster`] starts real ones.
//!
//! | module | gives |
//! |---|---|
//! | [`cluster`] | real replica sets, with logins, TLS and ways to hurt them |
//! | [`weir`] | a running `weir` program and its logs |
//! | [`balancer`] | a network load balancer with health checks |
//! | [`rolling`] | Weirs that are replaced while every driver works through them |
//! | [`relay`] | a TCP relay that delays, cuts, resets, stalls and corrupts |
//! | [`reliability`] | drivers at work while something happens, on two roads at once |
//! | [`scripted`] | a fake server for what a real one cannot be made to do |
//! | [`raw`] | a client that sends any bytes |
//! | [`message`] | messages built and read by hand, apart from Weir's own code |
//! | [`demo`] | a running `weir demo` and its table |
//! | [`python`] | the official Python driver, in two generations |
//! | [`matrix`] | every official driver, every feature, every fault: what each makes of it |
//! | [`random`] | numbers that follow from a seed |
//! | [`sockets`] | sockets counted from outside |
//! | [`soak`] | a load with unique payloads, faults, a ledger and checks |
//! | [`certificates`] | an authority, a server's and a client's certificate |
//! | [`lambda`] | AWS Lambda's side of the extension: a script, and AWS's emulator |
//! | [`wait`] | waiting for a condition with a deadline |
//! | [`suites`] | the Go driver's own tests, directly and through Weir |
//! | [`skip`] | what was not tested on this machine, counted and said |
//! | [`background`] | a thread for helpers that several tests share |
//! | [`surroundings`] | where parts and temporary files are |
//!
//! Nothing sleeps to let things settle, and whatever is started here ends with
//! the test process, however that ends.

pub mod background;
pub mod balancer;
pub mod certificates;
pub mod cluster;
pub mod demo;
pub mod lambda;
pub mod matrix;
pub mod memory;
pub mod message;
pub mod python;
pub mod random;
pub mod raw;
pub mod relay;
pub mod reliability;
pub mod role;
pub mod rolling;
pub mod scripted;
pub mod skip;
pub mod soak;
pub mod sockets;
pub mod spec;
pub mod suites;
pub mod surroundings;
pub mod wait;
pub mod weir;
