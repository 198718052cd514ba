//! The quick start: a real server, 1,500 clients, one table.

pub mod mongod;
pub mod parts;
pub mod process;
