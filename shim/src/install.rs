//! A copy of the shim in a volume that other containers share: they start it as their entry
//! point, and their images need no change. An image with nothing but the shim has no `cp`.

use std::env;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process;

/// What the copy is called.
const NAME: &str = "weir-shim";
/// Everybody may run it, whatever the umask; nobody but its owner may change it.
const MODE: u32 = 0o755;

/// Puts a copy into `folder` and says where. It appears whole: one that is running is not
/// written to, but replaced.
///
/// # Errors
/// When it cannot be read or written.
pub fn copy_into(folder: &Path) -> io::Result<PathBuf> {
    let copy = folder.join(NAME);
    let part = folder.join(format!(".{NAME}.{}", process::id()));
    let made = env::current_exe()
        .and_then(|this| fs::copy(this, &part))
        .and_then(|_| fs::set_permissions(&part, Permissions::from_mode(MODE)))
        .and_then(|()| fs::rename(&part, &copy));
    if made.is_err() {
        let _ = fs::remove_file(&part);
    }
    made.map(|()| copy)
}
