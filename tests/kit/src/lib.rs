//! What the demo, the pressure measurement, the benchmarks and the tests share: real servers and
//! programs, found or fetched, and text for people.
//!
//! | module | its part |
//! |---|---|
//! | [`paths`] | where programs, parts and temporary files are |
//! | [`process`] | child processes that never outlive the process that started them |
//! | [`parts`] | what is fetched once and kept |
//! | [`mongod`] | a real server or replica set |
//! | [`python`] | Python with PyMongo |
//! | [`emulator`] | AWS's emulator of Lambda |
//! | [`client`] | one connection that sends and reads messages |
//! | [`messages`] | the messages of the demo's clients |
//! | [`random`] | numbers that follow from a seed |
//! | [`interrupts`] | signals that end a program that people started |
//! | [`screen`] | lines that stay and one line that moves |
//! | [`paint`] | colour |
//! | [`numbers`] | counts and durations as people read them |
//! | [`text`] | paragraphs |

pub mod client;
pub mod emulator;
pub mod interrupts;
pub mod messages;
pub mod mongod;
pub mod numbers;
pub mod paint;
pub mod parts;
pub mod paths;
pub mod process;
pub mod python;
pub mod random;
pub mod screen;
pub mod text;

pub use interrupts::Interrupts;
pub use paths::Paths;
