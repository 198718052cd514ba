//! Copies the shim into a volume that other containers share. They start it as their entry point, so
//! that their images need no change. An image that holds only the shim has no `cp`.

use std::env;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process;

/// The file name of the copy.
const NAME: &str = "weir-shim";
/// All users may run the copy, and only its owner may change it. The umask has no effect.
const MODE: u32 = 0o755;

/// Copies the shim into `folder` and returns the path of the copy. The copy appears complete. It
/// replaces an older one, and does not write into that: it may be running.
///
/// # Errors
/// When the shim cannot be read, or the copy cannot be written.
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
