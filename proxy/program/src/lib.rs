//! The `weir` command as a library, for programs that start themselves as Weir.
//!
//! | module | its part |
//! |---|---|
//! | `cli` | the command line: subcommands, runtime, exit codes |

mod cli;

pub use cli::run;
