//! The Lambda layer of the demo: a folder with `extensions/weir-extension` and `weir-shim`.
//!
//! `cargo run` builds `weir` alone, so in a checkout cargo builds the two others, with the
//! profile of this program and into the same folder; what is up to date takes it no time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::error::DemoError;
use weir_kit::Paths;
use weir_kit::process::{Process, Scratch};

/// As they lie in a layer.
const EXTENSION: &str = "extensions/weir-extension";
const SHIM: &str = "weir-shim";
/// Two programs, optimised, on a slow machine.
const BUILD_LIMIT: Duration = Duration::from_secs(1_800);

/// Where the layer's programs come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// An unpacked layer.
    Layer(PathBuf),
    /// The folder of this program, which holds them too.
    Beside(PathBuf),
    /// The checkout that this program was built from.
    Checkout(Checkout),
}

/// A checkout and cargo's folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checkout {
    root: PathBuf,
    target: PathBuf,
    /// The name of the folder in `target`.
    profile: String,
}

impl Source {
    /// Looks for them; `given` is what the user named.
    ///
    /// # Errors
    /// What to do where there is nothing.
    pub(super) fn find(paths: &Paths, given: Option<&Path>) -> Result<Self, DemoError> {
        if let Some(given) = given {
            let missing = [EXTENSION, SHIM]
                .into_iter()
                .find(|name| !given.join(name).is_file());
            return match missing {
                None => Ok(Self::Layer(given.to_owned())),
                Some(name) => Err(DemoError::Layer(format!(
                    "{} holds no {name}: name the folder that a layer was unzipped into",
                    given.display()
                ))),
            };
        }
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
        let program = paths.program.as_deref();
        if let Some(found) = program.and_then(|program| Checkout::of(program, checkout?)) {
            return Ok(Self::Checkout(found));
        }
        let beside = program.and_then(Path::parent).filter(|folder| {
            folder.join("weir-extension").is_file() && folder.join(SHIM).is_file()
        });
        match beside {
            Some(folder) => Ok(Self::Beside(folder.to_owned())),
            None => Err(DemoError::Layer(
                "weir-extension and weir-shim are not beside this program, and it does not \
                 stand in a checkout that could build them: name with --layer the folder that a \
                 layer was unzipped into"
                    .to_owned(),
            )),
        }
    }

    /// Makes the folder that stands for `/opt`. Blocks, for minutes where cargo must build.
    ///
    /// # Errors
    /// When cargo fails, or the system.
    pub(super) fn unpack(&self, scratch: &Arc<Scratch>) -> Result<PathBuf, DemoError> {
        let programs = match self {
            Self::Layer(folder) => return Ok(folder.canonicalize()?),
            Self::Beside(folder) => folder.clone(),
            Self::Checkout(checkout) => checkout.build(scratch)?,
        };
        let layer = scratch.path().join("layer");
        fs::create_dir_all(layer.join("extensions"))?;
        fs::copy(programs.join("weir-extension"), layer.join(EXTENSION))?;
        fs::copy(programs.join(SHIM), layer.join(SHIM))?;
        Ok(layer)
    }
}

impl Checkout {
    /// The checkout that `program` was built from, if it still lies in cargo's folder.
    fn of(program: &Path, root: &Path) -> Option<Self> {
        let target = program
            .ancestors()
            .find(|folder| folder.join("CACHEDIR.TAG").is_file())?;
        let profile = program.parent()?.file_name()?.to_str()?;
        root.join("extension/Cargo.toml").is_file().then(|| Self {
            root: root.to_owned(),
            target: target.to_owned(),
            profile: profile.to_owned(),
        })
    }

    fn build(&self, scratch: &Arc<Scratch>) -> Result<PathBuf, DemoError> {
        let profile = match self.profile.as_str() {
            "debug" => "dev",
            other => other,
        };
        let mut command = Command::new("cargo");
        command
            .args(["build", "--package", "weir-extension"])
            .args(["--package", "weir-shim", "--profile", profile])
            .arg("--target-dir")
            .arg(&self.target)
            .current_dir(&self.root)
            .stdin(Stdio::null())
            // What the compiler has to say is for the user.
            .stdout(Stdio::null());
        let cargo = Process::spawn(&mut command, scratch)
            .map_err(|error| DemoError::Layer(format!("cargo could not be started ({error})")))?;
        match cargo.wait(BUILD_LIMIT)? {
            Some(status) if status.success() => Ok(self.target.join(&self.profile)),
            Some(_) => Err(DemoError::Layer(
                "cargo build -p weir-extension -p weir-shim failed; its words are above".to_owned(),
            )),
            None => Err(DemoError::Layer(format!(
                "cargo took longer than {BUILD_LIMIT:?}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(program: PathBuf, temporary: &Path) -> Paths {
        Paths {
            mongod: None,
            path: None,
            program: Some(program),
            cache_home: None,
            home: None,
            temporary: temporary.to_owned(),
        }
    }

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    #[test]
    fn the_programs_are_found_where_the_user_has_them() {
        let scratch = Scratch::new(&std::env::temp_dir(), "weir-layer-test").unwrap();
        let root = scratch.path();
        let installed = paths(root.join("bin/weir"), root);
        let error = Source::find(&installed, None).unwrap_err().to_string();
        assert!(error.contains("--layer"), "{error}");

        touch(&root.join("bin/weir-extension"));
        touch(&root.join("bin/weir-shim"));
        let found = Source::find(&installed, None).unwrap();
        assert_eq!(found, Source::Beside(root.join("bin")));
        let layer = found.unpack(&scratch).unwrap();
        assert!(layer.join(EXTENSION).is_file() && layer.join(SHIM).is_file());

        touch(&root.join("target/CACHEDIR.TAG"));
        let built = paths(root.join("target/release/weir"), root);
        let Source::Checkout(checkout) = Source::find(&built, None).unwrap() else {
            panic!("cargo is not asked");
        };
        assert_eq!(checkout.profile, "release");
        assert_eq!(checkout.target, root.join("target"));
    }

    #[test]
    fn a_layer_that_is_named_is_looked_at() {
        let scratch = Scratch::new(&std::env::temp_dir(), "weir-layer-test").unwrap();
        let root = scratch.path();
        let anywhere = paths(root.join("weir"), root);
        touch(&root.join("mine/weir-shim"));
        let mine = root.join("mine");
        let error = Source::find(&anywhere, Some(&mine)).unwrap_err();
        assert!(error.to_string().contains(EXTENSION), "{error}");
        touch(&mine.join(EXTENSION));
        let found = Source::find(&anywhere, Some(&mine)).unwrap();
        assert_eq!(found, Source::Layer(mine.clone()));
        assert_eq!(
            found.unpack(&scratch).unwrap(),
            mine.canonicalize().unwrap()
        );
    }
}
