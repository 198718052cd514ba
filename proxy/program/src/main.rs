//! The `weir` command: the allocator, and the call of [`weir_program::run`].

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Gives memory back after a burst; libc's allocator keeps it, and musl's is slow under threads.
/// Its background thread does so in an idle process too (`background_threads` in `Cargo.toml`):
/// without, pages are returned only in the course of other work.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    weir_program::run(std::env::args_os())
}
