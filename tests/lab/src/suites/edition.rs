//! A generation of the driver: its module, its compiled tests, the files they read.
//!
//! Nothing of it is kept in the repository; everything comes from package registries at
//! test time and stays among the parts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::Value;
use weir_kit::parts::{once, step};
use weir_kit::process::Scratch;

use weir_tests::paths::paths;

/// A test program: the tests of one Go package.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The package's folder in the module.
    pub package: &'static str,
    /// Which of its tests, as `-test.run`.
    pub tests: &'static str,
    /// Which not, as `-test.skip`.
    pub skip: &'static str,
}

/// A generation of the driver.
#[derive(Clone, Copy, Debug)]
pub struct Edition {
    /// For the command line and for folders.
    pub name: &'static str,
    /// The Go module.
    pub module: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its test programs.
    pub programs: &'static [Program],
    /// Where a module without specification files gets them from.
    pub files: Option<Files>,
    /// What is left out, and why.
    pub left_out: &'static [(&'static str, &'static str)],
}

/// Specification files in the source archive of another driver.
#[derive(Clone, Copy, Debug)]
pub struct Files {
    /// The PyPI requirement.
    pub requirement: &'static str,
    /// Folders in the archive's `test/`, and their places in the specifications.
    pub folders: &'static [(&'static str, &'static str)],
}

const NO_ZONE: (&str, &str) = (
    "TestInitialDNSSeedlistDiscoverySpec",
    "needs the public DNS zone test.build.10gen.cc",
);
const NO_ATLAS: (&str, &str) = (
    "TestAtlasDataLake, TestSearchIndexProse",
    "need services of Atlas",
);
const NO_CRYPT: (&str, &str) = (
    "client-side encryption, TestSessionsMongocryptdProse",
    "need libmongocrypt and mongocryptd, which no registry has",
);

/// The generation that carries its specification files.
pub const V1: Edition = Edition {
    name: "v1",
    module: "go.mongodb.org/mongo-driver",
    version: "v1.17.10",
    programs: &[
        Program {
            package: "mongo/integration/unified",
            tests: "TestUnifiedSpec",
            skip: "/client-side-encryption",
        },
        Program {
            package: "mongo/integration",
            tests: ".",
            skip: "TestInitialDNSSeedlistDiscoverySpec|TestAtlasDataLake|TestSearchIndexProse|\
                   ClientSideEncryption|TestSessionsMongocryptdProse|TestFLE2|\
                   TestUnifiedSpecs/atlas-data-lake-testing",
        },
        Program {
            package: "mongo/gridfs",
            tests: ".",
            skip: "^$",
        },
        Program {
            package: "mongo",
            tests: "TestConvenientTransactions",
            skip: "^$",
        },
    ],
    files: None,
    left_out: &[NO_ZONE, NO_ATLAS, NO_CRYPT],
};

/// The newest generation. Its module has the runner without the files; those of the same
/// specifications are in the source archive of the Python driver.
pub const V2: Edition = Edition {
    name: "v2",
    module: "go.mongodb.org/mongo-driver/v2",
    version: "v2.9.3",
    programs: &[
        Program {
            package: "internal/integration/unified",
            tests: "TestUnifiedSpec",
            skip: "/client-side-encryption",
        },
        Program {
            package: "internal/integration",
            tests: "TestBackpressureProse|TestTransactionConvenientApiProse|\
                    TestNoWritesPerformedLabel|TestRetryableReadsProse|TestRetryableWritesProse|\
                    TestSDAMProse|TestSessionsProse|TestCSOTProse|TestLoadBalancerSupport",
            skip: "^$",
        },
    ],
    files: Some(Files {
        requirement: "pymongo==4.20.0",
        folders: &[
            ("causal_consistency", "causal-consistency/tests"),
            ("change_streams/unified", "change-streams/tests/unified"),
            ("client-backpressure", "client-backpressure/tests"),
            (
                "client-side-encryption/spec/unified",
                "client-side-encryption/tests/unified",
            ),
            ("collection_management", "collection-management/tests"),
            (
                "command_logging",
                "command-logging-and-monitoring/tests/logging",
            ),
            (
                "command_monitoring",
                "command-logging-and-monitoring/tests/monitoring",
            ),
            (
                "connection_logging",
                "connection-monitoring-and-pooling/tests/logging",
            ),
            ("crud/unified", "crud/tests/unified"),
            ("csot", "client-side-operations-timeout/tests"),
            (
                "discovery_and_monitoring/unified",
                "server-discovery-and-monitoring/tests/unified",
            ),
            ("gridfs", "gridfs/tests"),
            ("handshake/unified", "mongodb-handshake/tests/unified"),
            ("index_management", "index-management/tests"),
            ("load_balancer", "load-balancers/tests"),
            ("retryable_reads/unified", "retryable-reads/tests/unified"),
            ("retryable_writes/unified", "retryable-writes/tests/unified"),
            ("run_command/unified", "run-command/tests/unified"),
            ("server_selection_logging", "server-selection/tests/logging"),
            ("sessions", "sessions/tests"),
            (
                "transactions-convenient-api/unified",
                "transactions-convenient-api/tests/unified",
            ),
            ("transactions/unified", "transactions/tests/unified"),
            (
                "unified-test-format/valid-fail",
                "unified-test-format/tests/valid-fail",
            ),
            (
                "unified-test-format/valid-pass",
                "unified-test-format/tests/valid-pass",
            ),
            ("versioned-api", "versioned-api/tests"),
        ],
    }),
    left_out: &[
        NO_CRYPT,
        (
            "the rest of internal/integration",
            "the same tests run from v1 above",
        ),
    ],
};

/// An edition on this machine.
#[derive(Clone, Debug)]
pub struct Built {
    /// Which one.
    pub edition: Edition,
    place: PathBuf,
}

impl Built {
    /// The module's folder.
    pub fn source(&self) -> PathBuf {
        self.place.join("source")
    }

    /// A compiled test program.
    pub fn binary(&self, program: &Program) -> PathBuf {
        self.place.join(binary_name(program))
    }
}

fn binary_name(program: &Program) -> String {
    format!("{}.test", program.package.replace('/', "-"))
}

/// Fetches and compiles an edition; the second time on a machine it is there. Blocks.
///
/// # Errors
/// When Go, pip or a registry is not there.
pub fn build(edition: Edition) -> Result<Built> {
    let parts = paths().parts();
    let name = format!("go-driver-{}", edition.version);
    let make = |scratch: &Arc<Scratch>, ready: &Path| {
        make(edition, scratch, ready).map_err(std::io::Error::other)
    };
    let place = once(&parts, &name, make).with_context(|| name.clone())?;
    Ok(Built { edition, place })
}

fn make(edition: Edition, scratch: &Arc<Scratch>, ready: &Path) -> Result<()> {
    let source = ready.join("source");
    copy_module(edition, scratch, &source)?;
    if let Some(files) = edition.files {
        place_files(&files, scratch, &source)?;
    }
    // The module's own workspace and vendor lists would ask for more modules.
    for list in ["go.work", "go.work.sum", "vendor"] {
        step(
            Command::new("rm").arg("-rf").arg(source.join(list)),
            scratch,
        )?;
    }
    for program in edition.programs {
        let mut compile = Command::new("go");
        compile
            .args(["test", "-c", "-o"])
            .arg(ready.join(binary_name(program)))
            .arg(format!("./{}", program.package))
            .env("GOFLAGS", "-mod=mod")
            .env("GOWORK", "off")
            .current_dir(&source);
        step(&mut compile, scratch).with_context(|| program.package)?;
    }
    Ok(())
}

/// A writable copy of the module: the cache of Go is read-only.
fn copy_module(edition: Edition, scratch: &Arc<Scratch>, to: &Path) -> Result<()> {
    let empty = scratch.path().join("empty");
    fs::create_dir(&empty)?;
    fs::write(empty.join("go.mod"), "module weir/suites\n\ngo 1.21\n")?;
    let module = format!("{}@{}", edition.module, edition.version);
    let output = Command::new("go")
        .args(["mod", "download", "-json", &module])
        .env("GOFLAGS", "-mod=mod")
        .current_dir(&empty)
        .output()
        .context("the go command")?;
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    let from = answer.get("Dir").and_then(Value::as_str);
    let from = from.with_context(|| format!("{module}: {:?}", answer.get("Error")))?;
    step(Command::new("cp").arg("-r").arg(from).arg(to), scratch)?;
    step(Command::new("chmod").args(["-R", "u+w"]).arg(to), scratch)?;
    Ok(())
}

fn place_files(files: &Files, scratch: &Arc<Scratch>, source: &Path) -> Result<()> {
    let archive = scratch.path().join("archive");
    fs::create_dir(&archive)?;
    let mut fetch = Command::new("python3");
    fetch
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(["--no-deps", "--no-binary=:all:", files.requirement])
        .current_dir(&archive);
    step(&mut fetch, scratch).with_context(|| files.requirement)?;
    let mut unpack = Command::new("sh");
    unpack
        .args(["-c", "tar xzf *.tar.gz --strip-components=1"])
        .current_dir(&archive);
    step(&mut unpack, scratch)?;
    for (from, to) in files.folders {
        let to = source.join("testdata/specifications/source").join(to);
        fs::create_dir_all(&to)?;
        let from = archive.join("test").join(from);
        for entry in fs::read_dir(&from).with_context(|| from.display().to_string())? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                fs::copy(&path, to.join(path.file_name().unwrap_or_default()))?;
            }
        }
    }
    Ok(())
}
