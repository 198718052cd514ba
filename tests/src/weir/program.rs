//! Finding or building the program.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tokio::sync::{Mutex, OnceCell};

use crate::paths::blocking;

/// The `weir` program, built if need be.
///
/// # Errors
/// With cargo's own words when it does not compile.
pub async fn program() -> Result<&'static Path> {
    static PROGRAM: OnceCell<PathBuf> = OnceCell::const_new();
    let find = || async {
        match (env::var_os("WEIR_BINARY"), given("weir")) {
            (Some(given), _) => is_file(given.into()),
            (None, Some(given)) => Ok(given),
            (None, None) => blocking(|| build("weir")).await?,
        }
    };
    Ok(PROGRAM.get_or_try_init(find).await?.as_path())
}

/// Another program of the workspace, built if need be; `$WEIR_PROGRAMS` names a folder of cargo's
/// that is asked first.
///
/// # Errors
/// With cargo's own words when it does not compile.
pub async fn program_called(name: &'static str) -> Result<PathBuf> {
    static BUILDING: Mutex<()> = Mutex::const_new(());
    if let Some(given) = given(name) {
        return Ok(given);
    }
    let _one_at_a_time = BUILDING.lock().await;
    blocking(move || build(name)).await?
}

/// The program in the folder that `$WEIR_PROGRAMS` names, if it is there.
fn given(name: &str) -> Option<PathBuf> {
    let program = Path::new(&env::var_os("WEIR_PROGRAMS")?).join(name);
    program.is_file().then_some(program)
}

/// The profile that Weir's programs were built with: the name of cargo's folder.
pub fn profile() -> String {
    match env::var_os("WEIR_PROGRAMS") {
        Some(given) => folder_name(Path::new(&given)),
        None => own_profile(),
    }
}

/// The profile of this process.
pub fn own_profile() -> String {
    built_programs().map_or_else(|_| String::new(), |folder| folder_name(&folder))
}

fn folder_name(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn is_file(given: PathBuf) -> Result<PathBuf> {
    let shown = given.display();
    ensure!(
        given.is_file(),
        "WEIR_BINARY names {shown}, which is not a file"
    );
    Ok(given)
}

fn build(name: &str) -> Result<PathBuf> {
    let folder = built_programs()?;
    let program = folder.join(name);
    // `cargo test --workspace` has built it already, with the features of the tests;
    // building it alone would compile half of its dependencies again.
    if is_fresh(&program) {
        return Ok(program);
    }
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--quiet",
            // The whole workspace's choice of features, as `cargo build` makes it.
            "--workspace",
            "--bin",
            name,
            "--profile",
            profile,
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(program)
}

/// The folder in which cargo puts programs: `<target>/<profile>`.
///
/// # Errors
/// When this process is not one of cargo's.
pub fn built_programs() -> Result<PathBuf> {
    // <target>/<profile>/deps/<this test>, or <target>/<profile>/<this program>
    let this = env::current_exe()?;
    let folder = this.parent().context("a program without a folder")?;
    let folder = if folder.ends_with("deps") {
        folder.parent().context("a test outside a target folder")?
    } else {
        folder
    };
    Ok(folder.to_owned())
}

/// Whether the program is newer than every source that cargo lists for it in `NAME.d` beside it.
fn is_fresh(program: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    let listed = std::fs::read_to_string(program.with_extension("d"));
    let (Some(made), Ok(listed)) = (changed(program), listed) else {
        return false;
    };
    sources(&listed).all(|source| changed(&source).is_some_and(|time| time <= made))
}

/// The files behind the colon of a dep-info file. Cargo escapes a space in a path.
fn sources(listed: &str) -> impl Iterator<Item = PathBuf> {
    let files = listed.split_once(": ").map_or("", |(_, files)| files);
    let files = files.trim_end().replace("\\ ", "\0");
    let files: Vec<_> = files
        .split_whitespace()
        .map(|file| PathBuf::from(file.replace('\0', " ")))
        .collect();
    files.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dep_info_file_lists_the_sources_with_escaped_spaces() {
        let found: Vec<_> = sources("/t/weir: /a/main.rs /my\\ folder/lib.rs\n").collect();
        assert_eq!(
            found,
            ["/a/main.rs", "/my folder/lib.rs"].map(PathBuf::from)
        );
        assert_eq!(sources("nothing").count(), 0);
    }
}
