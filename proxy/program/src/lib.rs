//! The `weir` command as a library: the benchmarks start themselves as Weir with it.
//!
//! | module | its part |
//! |---|---|
//! | `cli` | the command line: subcommands, runtime, exit codes |

mod cli;

pub use cli::run;
