//! Where parts and temporary files are on this machine.

use std::env;
use std::path::PathBuf;

use anyhow::Result;
use weir::demo::mongod::Binary;
use weir::demo::parts::Surroundings;

/// The environment of this test process.
pub fn surroundings() -> Surroundings {
    Surroundings {
        mongod: env::var_os("WEIR_MONGOD").map(PathBuf::from),
        path: env::var_os("PATH"),
        program: env::current_exe().ok(),
        cache_home: env::var_os("XDG_CACHE_HOME").map(PathBuf::from),
        home: env::var_os("HOME").map(PathBuf::from),
        temporary: env::temp_dir(),
    }
}

/// The mongod of the tests; fetched at the first use on a machine.
///
/// # Errors
/// One line that says what to set.
pub async fn mongod() -> Result<Binary> {
    Ok(blocking(|| Binary::find(&surroundings())).await??)
}

/// Runs something that blocks beside the test's own tasks.
///
/// # Errors
/// When it panics.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    Ok(tokio::task::spawn_blocking(work).await?)
}
