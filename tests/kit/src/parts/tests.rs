use super::*;
use crate::Paths;

fn scratch() -> Arc<Scratch> {
    Scratch::new(Path::new("/tmp"), "weir-test").unwrap()
}

/// A folder in which every step below a real fetch can be tried.
fn around(scratch: &Scratch) -> Paths {
    Paths {
        cache_home: Some(scratch.path().join("cache")),
        home: Some("/home/somebody".into()),
        temporary: "/tmp".into(),
        ..Paths::default()
    }
}

#[test]
fn parts_lie_in_the_target_folder_of_a_checkout() {
    let scratch = scratch();
    let mut around = around(&scratch);
    let target = scratch.path().join("build");
    let program = target.join("debug/deps/weir-0123");
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    around.program = Some(program);
    assert_eq!(around.parts(), scratch.path().join("cache/weir"));
    fs::write(target.join("CACHEDIR.TAG"), "").unwrap();
    assert_eq!(around.parts(), target.join("weir-parts"));
}

#[test]
fn parts_outside_a_checkout_lie_in_the_users_cache() {
    let scratch = scratch();
    let mut around = around(&scratch);
    around.cache_home = Some("relative/is/ignored".into());
    assert_eq!(around.parts(), Path::new("/home/somebody/.cache/weir"));
    around.home = None;
    assert_eq!(around.parts(), Path::new("/tmp/weir-parts"));
}

#[test]
fn a_lock_is_held_by_the_living_and_inherited_from_the_dead() {
    let scratch = scratch();
    let path = scratch.path().join("lock");
    let ours = Lock::take(&path).unwrap().unwrap();
    assert!(Lock::take(&path).unwrap().is_none());
    assert!(path.exists(), "its owner, this process, lives");
    drop(ours);
    assert!(!path.exists());

    // A killed owner leaves the file, but not its lock.
    fs::write(&path, "").unwrap();
    assert!(Lock::take(&path).unwrap().is_some());
}

#[test]
fn a_part_is_made_once_and_a_failed_one_leaves_nothing() {
    let scratch = scratch();
    let parts = scratch.path().join("parts");
    let error = once(&parts, "part", |_, ready| {
        fs::write(ready.join("half"), "")?;
        Err(io::Error::other("no more"))
    });
    assert_eq!(error.unwrap_err().to_string(), "no more");
    assert_eq!(fs::read_dir(&parts).unwrap().count(), 0);

    let make = |_: &Arc<Scratch>, ready: &Path| fs::write(ready.join("whole"), "");
    let place = once(&parts, "part", make).unwrap();
    assert!(place.join("whole").is_file());
    assert_eq!(once(&parts, "part", |_, _| unreachable!()).unwrap(), place);
    assert_eq!(fs::read_dir(&parts).unwrap().count(), 1);
}

#[test]
fn a_failed_step_says_its_last_line() {
    let scratch = scratch();
    let error = step(
        Command::new("sh").args(["-c", "echo first; echo last; exit 3"]),
        &scratch,
    );
    assert_eq!(error.unwrap_err().to_string(), "last");
    let error = step(&mut Command::new("weir-no-such-program"), &scratch);
    assert!(
        error
            .unwrap_err()
            .to_string()
            .starts_with("weir-no-such-program: ")
    );
}
