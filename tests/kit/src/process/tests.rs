use super::*;

fn alive(pid: u32) -> bool {
    // A killed child of a process that is gone may stay a zombie for a moment.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap()
            .trim_start()
            .starts_with('Z')
    })
}

fn sleeper(scratch: &Arc<Scratch>) -> Process {
    Process::spawn(
        Command::new("sh").args(["-c", "trap '' TERM; while :; do sleep 0.05; done"]),
        scratch,
    )
    .unwrap()
}

#[test]
fn the_folder_goes_with_its_last_owner() {
    let scratch = Scratch::new(Path::new("/tmp"), "weir-test").unwrap();
    let path = scratch.path().to_owned();
    fs::write(path.join("file"), "x").unwrap();
    let process = sleeper(&scratch);
    drop(scratch);
    assert!(path.exists(), "the process still needs it");
    drop(process);
    assert!(!path.exists());
}

/// A stand-in for our own death: the pipe closes without a word.
#[test]
fn the_watcher_kills_when_the_pipe_closes() {
    let scratch = Scratch::new(Path::new("/tmp"), "weir-test").unwrap();
    let (first, second) = (sleeper(&scratch), sleeper(&scratch));
    scratch.forget(second.id()).unwrap();
    drop(scratch.watcher.lock().stdin.take());
    let limit = Duration::from_secs(10);
    assert!(first.wait(limit).unwrap().is_some(), "killed");
    assert!(until(limit, || (!scratch.path().exists()).then_some(())).is_some());
    assert!(alive(second.id()), "a forgotten one is not ours to kill");
}

#[test]
fn stop_kills_what_ignores_sigterm() {
    let scratch = Scratch::new(Path::new("/tmp"), "weir-test").unwrap();
    let process = sleeper(&scratch);
    let status = process.stop(Duration::from_millis(50)).unwrap();
    assert!(!status.success());
    assert!(!alive(process.id()));
    process.signal(Signal::Terminate).unwrap();
}

#[test]
fn stop_wakes_a_frozen_process() {
    let scratch = Scratch::new(Path::new("/tmp"), "weir-test").unwrap();
    let process = Process::spawn(Command::new("sleep").arg("100"), &scratch).unwrap();
    process.signal(Signal::Stop).unwrap();
    let start = Instant::now();
    process.stop(Duration::from_secs(60)).unwrap();
    assert!(start.elapsed() < Duration::from_secs(30));
}
