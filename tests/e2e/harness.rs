//! The harness tried on real servers: a tool that does not do what it says
//! would make every test that uses it worthless.

mod clusters;
mod drivers;
mod leftovers;
mod relays;
mod scripts;
mod tools;
