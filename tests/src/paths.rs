//! Where parts and temporary files are on this machine.

use anyhow::Result;
use weir_kit::Paths;
use weir_kit::mongod::Binary;

/// The environment of this test process.
pub fn paths() -> Paths {
    Paths::of_this_process()
}

/// The mongod of the tests; fetched at the first use on a machine.
///
/// # Errors
/// One line that says what to set.
pub async fn mongod() -> Result<Binary> {
    Ok(blocking(|| Binary::find(&paths())).await??)
}

/// Runs something that blocks beside the test's own tasks.
///
/// # Errors
/// When it panics.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    Ok(tokio::task::spawn_blocking(work).await?)
}
