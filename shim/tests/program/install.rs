//! A task of ECS as it is laid out: one container puts the shim into a volume and ends, the other
//! starts through the file in it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{NEW, UNASKED, URI, binary, shim, text};

/// A folder that is gone after the test.
struct Volume(PathBuf);

impl Volume {
    fn new(name: &str) -> Self {
        let folder = format!("weir-shim-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(folder);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_shim_is_handed_over_in_a_volume_and_is_the_entry_point() {
    let volume = Volume::new("task");
    // The first container: an image with nothing but the file, and an umask that takes all.
    let image = Volume::new("image");
    let file = image.0.join("weir-shim");
    // By another process: a file that this one writes is busy while its other threads start
    // programs.
    let copied = Command::new("cp").arg(binary()).arg(&file).status();
    assert!(copied.unwrap().success());
    fs::set_permissions(&file, Permissions::from_mode(0o500)).unwrap();
    let mut init = Command::new("sh");
    init.args(["-c", "umask 077; exec \"$0\" install \"$1\""]);
    let output = init.arg(&file).arg(volume.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let copy = volume.0.join("weir-shim");
    assert_eq!(text(&output.stdout), format!("{}\n", copy.display()));
    assert_eq!(mode(&copy), 0o755);
    assert_eq!(fs::read(&copy).unwrap(), fs::read(binary()).unwrap());
    // The image of the first container is gone when the second starts.
    drop(image);
    let mut app = Command::new(&copy);
    app.args(["--", "sh", "-c", r#"echo "$$ $0 $X""#, "server"]);
    let app = app.env("X", URI).env(UNASKED.0, UNASKED.1);
    let app = app.stdout(Stdio::piped()).spawn().unwrap();
    let pid = app.id();
    let output = app.wait_with_output().unwrap();
    assert_eq!(text(&output.stdout), format!("{pid} server {NEW}\n"));
    assert_eq!(fs::read_dir(&volume.0).unwrap().count(), 1, "left over");
}

#[test]
fn a_copy_that_runs_is_replaced() {
    let volume = Volume::new("again");
    assert!(
        shim(&["install", volume.path()], &[])
            .unwrap()
            .status
            .success()
    );
    let copy = volume.0.join("weir-shim");
    // The copy installs itself over itself: a write to it would be refused while it runs.
    let mut again = Command::new(&copy);
    let output = again.args(["install", volume.path()]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(fs::read(&copy).unwrap(), fs::read(binary()).unwrap());
}

#[test]
fn a_task_whose_volume_is_missing_does_not_start_half() {
    let output = shim(&["install", "/no/such/volume"], &[]).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.starts_with("weir-shim: cannot copy weir-shim into /no/such/volume: "),
        "{said}"
    );
    assert!(output.stdout.is_empty());
}
