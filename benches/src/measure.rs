//! One load through one contender.

use std::io::{BufRead, BufReader};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use weir_kit::process::Process;

use crate::contender::Contender;
use crate::generator::{AS_GENERATOR, Load, MEASURING, Order, Outcome};
use crate::process::{cpu_time, memory};
use crate::server::Server;

/// How long the generator may take to end.
const END_LIMIT: Duration = Duration::from_secs(20);

/// What was seen of one load.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// What the clients saw.
    pub(crate) outcome: Outcome,
    /// CPU time of the proxy in the window; zero without a proxy.
    pub(crate) proxy: Duration,
    /// CPU time of the server in the window.
    pub(crate) server: Duration,
    /// The proxy's memory at the end, in KiB.
    pub(crate) memory: u64,
    /// The most memory the proxy has had, in KiB.
    pub(crate) peak: u64,
    /// The proxy's memory before the clients came, in KiB.
    pub(crate) before: u64,
}

impl Sample {
    /// Operations a second.
    pub(crate) fn rate(&self) -> f64 {
        self.outcome.operations as f64 / self.outcome.seconds.max(f64::EPSILON)
    }

    /// The proxy's CPU time for each operation, in microseconds.
    pub(crate) fn proxy_per_operation(&self) -> f64 {
        self.proxy.as_secs_f64() * 1e6 / self.outcome.operations.max(1) as f64
    }

    /// MB/s of documents that clients received.
    pub(crate) fn bytes_rate(&self) -> f64 {
        self.outcome.bytes as f64 / 1e6 / self.outcome.seconds.max(f64::EPSILON)
    }

    /// KiB of the proxy's memory for each of these clients.
    pub(crate) fn memory_per_client(&self, clients: usize) -> f64 {
        self.memory.saturating_sub(self.before) as f64 / clients.max(1) as f64
    }

    /// The server's CPU time for each operation, in microseconds.
    pub(crate) fn server_per_operation(&self) -> f64 {
        self.server.as_secs_f64() * 1e6 / self.outcome.operations.max(1) as f64
    }
}

/// A load for some clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    /// What they do.
    pub(crate) load: Load,
    /// How many they are.
    pub(crate) clients: usize,
    /// Seconds before the window.
    pub(crate) warm_up: f64,
    /// Seconds of the window.
    pub(crate) seconds: f64,
}

/// Sends the clients of `task` through `contender` and measures.
pub(crate) fn measure(server: &Server, contender: &Contender, task: Task) -> Result<Sample> {
    let order = Order {
        address: contender.address,
        clients: task.clients,
        load: task.load,
        warm_up: task.warm_up,
        seconds: task.seconds,
    };
    let before = contender.pid().map_or(Ok(0), |pid| memory(pid, "VmRSS"))?;
    let mut generator = Generator::start(server, &order)?;
    generator.wait_for_window()?;
    let proxy = contender.pid().map(cpu_time).transpose()?;
    let server_before = cpu_time(server.pid()?)?;
    let outcome = generator.outcome()?;
    let mut sample = Sample {
        outcome,
        server: cpu_time(server.pid()?)?.saturating_sub(server_before),
        before,
        ..Sample::default()
    };
    if let (Some(pid), Some(proxy)) = (contender.pid(), proxy) {
        sample.proxy = cpu_time(pid)?.saturating_sub(proxy);
        sample.memory = memory(pid, "VmRSS")?;
        sample.peak = memory(pid, "VmHWM")?;
    }
    generator.end()?;
    Ok(sample)
}

struct Generator {
    process: Process,
    /// Open until [`Generator::end`]: clients that hold their sockets wait for it.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Generator {
    fn start(server: &Server, order: &Order) -> Result<Self> {
        let mut command = Command::new(&server.program);
        command.arg(AS_GENERATOR).arg(serde_json::to_string(order)?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let process = Process::spawn(&mut command, &server.scratch)?;
        let (input, output, _) = process.take_pipes();
        Ok(Self {
            process,
            input,
            output: BufReader::new(output.context("no output")?),
        })
    }

    fn wait_for_window(&mut self) -> Result<()> {
        let line = self.line()?;
        ensure!(line.trim() == MEASURING, "the generator said: {line}");
        Ok(())
    }

    fn outcome(&mut self) -> Result<Outcome> {
        let line = self.line()?;
        serde_json::from_str(&line).with_context(|| format!("the generator said: {line}"))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line)?;
        ensure!(read > 0, "the generator ended early; its reason is above");
        Ok(line)
    }

    fn end(mut self) -> Result<()> {
        drop(self.input.take());
        let ended = self.process.wait(END_LIMIT)?;
        ensure!(
            ended.is_some_and(|status| status.success()),
            "the generator did not end well"
        );
        Ok(())
    }
}
