//! A function, and what is around it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use weir_kit::mongod::free_port;

use super::parts;
use crate::paths::blocking;
use crate::skip::skip;
use crate::weir::program_called;

/// The variable with a function's own connection string, as its team set it.
pub const OWN_STRING: &str = "MONGO_AUTH_CREDENTIALS";

/// A function and what is around it.
#[derive(Clone, Debug)]
pub struct Function {
    /// What Lambda starts: the interpreter and its arguments.
    pub command: Vec<String>,
    /// Where it runs.
    pub folder: PathBuf,
    /// Its variables.
    pub variables: BTreeMap<String, String>,
    /// Seconds after which it is cut off.
    pub timeout: u32,
    /// The layer is attached.
    pub layer: bool,
    /// The shim stands before it, as `AWS_LAMBDA_EXEC_WRAPPER`.
    pub wrapped: bool,
    /// Another extension in the same environment.
    pub other_extension: Option<PathBuf>,
    /// The share of one CPU that all its environment gets together.
    pub cpu: Option<f64>,
    /// The environment is a Managed Instance, with so many invocations at a time. Its function is
    /// a program of its own, without arguments.
    pub at_once: Option<u32>,
}

impl Function {
    /// A function with the layer and the shim.
    pub fn new(command: &[&str], folder: &Path) -> Self {
        Self {
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            folder: folder.to_owned(),
            variables: BTreeMap::new(),
            timeout: 10,
            layer: true,
            wrapped: true,
            other_extension: None,
            cpu: None,
            at_once: None,
        }
    }

    /// Sets a variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets the timeout, in seconds.
    #[must_use]
    pub fn cut_off_after(mut self, seconds: u32) -> Self {
        self.timeout = seconds;
        self
    }

    /// Where the extension listens, as this test chose it.
    pub fn listen(&self) -> &str {
        self.variables.get("WEIR_LISTEN").map_or("", String::as_str)
    }
}

/// By which drivers see that they are on Lambda, and hold no hello open.
const EXECUTION: &str = "AWS_EXECUTION_ENV";

/// A language that functions are written in. Each has the same function in
/// `tests/lambda/functions`, but for Rust's, which is `weir-function-rust`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Under AWS's runtime client, with PyMongo.
    Python,
    /// Under a loop of its own, with the newest driver.
    Node,
    /// Under AWS's runtime client, with the newest driver.
    Java,
    /// Under `lambda_runtime`, with the driver that Weir itself is built with.
    Rust,
}

impl Language {
    /// A function with this string of its own. `None`: this machine does not have the language,
    /// which is counted as a skip.
    ///
    /// # Errors
    /// When the Rust function does not compile.
    pub async fn function(self, uri: &str) -> Result<Option<Function>> {
        let found = match self {
            Self::Rust => Ok(rust().await?),
            Self::Python => blocking(python).await?,
            Self::Node => blocking(node).await?,
            Self::Java => blocking(java).await?,
        };
        let function = match found {
            Ok(function) => function,
            Err(error) => {
                skip(&format!("{self:?} functions"), &error.to_string());
                return Ok(None);
            }
        };
        let listen = format!("127.0.0.1:{}", free_port()?);
        Ok(Some(
            function
                .with(OWN_STRING, uri)
                .with("WEIR_LISTEN", &listen)
                .with("WEIR_SHIM_TARGET", &listen),
        ))
    }
}

async fn rust() -> Result<Function> {
    let program = program_called("weir-function-rust").await?;
    let command = program.display().to_string();
    let function = Function::new(&[&command], Path::new("/"));
    Ok(function.with(EXECUTION, "AWS_Lambda_rust"))
}

fn python() -> std::io::Result<Function> {
    let python = parts::python()?.display().to_string();
    let command = [python.as_str(), "-m", "awslambdaric", "app.handler"];
    let function = Function::new(&command, &parts::source("python"));
    let function = function.with("PYTHONDONTWRITEBYTECODE", "1");
    Ok(function.with(EXECUTION, "AWS_Lambda_python3.13"))
}

fn node() -> std::io::Result<Function> {
    let modules = parts::node_modules()?.display().to_string();
    let function = Function::new(&["node", "runtime.js"], &parts::source("node"));
    let function = function.with("NODE_PATH", &modules);
    Ok(function.with(EXECUTION, "AWS_Lambda_nodejs22.x"))
}

fn java() -> std::io::Result<Function> {
    let class_path = parts::java_class_path()?;
    let command = [
        "java",
        // As Lambda starts it, for a machine that is small.
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        class_path.as_str(),
        "com.amazonaws.services.lambda.runtime.api.client.AWSLambda",
        "App::handleRequest",
    ];
    let function = Function::new(&command, &parts::source("java"));
    Ok(function.with(EXECUTION, "AWS_Lambda_java17"))
}
