//! What `docs/shim.md` shows can be copied.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is a test"
)]

use serde_json::Value;

/// The task definition that the document shows.
fn task() -> Value {
    let document = include_str!("../../docs/shim.md");
    let (_, behind) = document.split_once("```json\n").unwrap();
    let (json, _) = behind.split_once("```").unwrap();
    serde_json::from_str(json).unwrap()
}

fn names<'a>(list: &'a Value, name: &str) -> Vec<&'a str> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|one| one[name].as_str().unwrap()).collect()
}

#[test]
fn a_task_names_only_what_it_defines() {
    let task = task();
    let containers = task["containerDefinitions"].as_array().unwrap();
    let defined = names(&task["containerDefinitions"], "name");
    let volumes = names(&task["volumes"], "name");
    let mut awaited = 0;
    for container in containers {
        for mount in names(&container["mountPoints"], "sourceVolume") {
            assert!(volumes.contains(&mount), "{mount} in {container}");
        }
        for other in container["dependsOn"].as_array().into_iter().flatten() {
            awaited += 1;
            let name = other["containerName"].as_str().unwrap();
            let at = defined.iter().position(|known| *known == name);
            let other_one = &containers[at.unwrap_or_else(|| panic!("no container {name}"))];
            // ECS refuses the one without a health check, the other for an essential container.
            match other["condition"].as_str().unwrap() {
                "HEALTHY" => assert!(other_one["healthCheck"].is_object(), "{name}"),
                condition => {
                    assert_eq!(condition, "SUCCESS");
                    assert_eq!(other_one["essential"], false, "{name}");
                }
            }
        }
    }
    assert_eq!(awaited, 2, "of the application");
}

/// Weir must be through with its drain before ECS kills it.
#[test]
fn the_stop_timeout_is_longer_than_the_drain() {
    let task = task();
    let containers = task["containerDefinitions"].as_array().unwrap();
    let weir = containers.iter().find(|one| one["name"] == "weir").unwrap();
    let stop = weir["stopTimeout"].as_u64().unwrap();
    assert!((57..=120).contains(&stop), "{stop}");
}
