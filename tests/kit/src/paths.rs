//! Where programs, parts and temporary files are on this machine.

use std::{env, ffi::OsString, path::PathBuf};

/// What the environment says about places.
#[derive(Clone, Debug, Default)]
pub struct Paths {
    /// `$WEIR_MONGOD`.
    pub mongod: Option<PathBuf>,
    /// `$PATH`.
    pub path: Option<OsString>,
    /// The running program; its cargo target folder is the cache in a checkout.
    pub program: Option<PathBuf>,
    /// `$XDG_CACHE_HOME`.
    pub cache_home: Option<PathBuf>,
    /// `$HOME`.
    pub home: Option<PathBuf>,
    /// Where temporary files go: `$TMPDIR` or `/tmp`.
    pub temporary: PathBuf,
}

impl Paths {
    /// The environment of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        let path = |name| env::var_os(name).map(PathBuf::from);
        Self {
            mongod: path("WEIR_MONGOD"),
            path: env::var_os("PATH"),
            program: env::current_exe().ok(),
            cache_home: path("XDG_CACHE_HOME"),
            home: path("HOME"),
            temporary: env::temp_dir(),
        }
    }

    /// Where fetched parts are kept: `weir-parts` in the cargo target folder of
    /// the running program, else `weir` in the user's cache.
    pub fn parts(&self) -> PathBuf {
        // Cargo marks its target folder with this file, whatever its name.
        let target = self.program.as_deref().and_then(|program| {
            program
                .ancestors()
                .find(|folder| folder.join("CACHEDIR.TAG").is_file())
        });
        match (target, &self.cache_home, &self.home) {
            (Some(target), ..) => target.join("weir-parts"),
            (None, Some(cache), _) if cache.is_absolute() => cache.join("weir"),
            (None, _, Some(home)) => home.join(".cache/weir"),
            (None, _, None) => self.temporary.join("weir-parts"),
        }
    }
}
