//! Log output that cannot stop or kill the program.
//!
//! A line goes into a bounded queue, and a thread of its own writes it. When the reader of the
//! log stalls, the queue fills and further lines are lost; nobody waits. When the reader is gone
//! or the disk is full, the line that could not be written is lost. Lost lines are counted, and
//! the first line that can be written again is preceded by one that states the count.
//!
//! A library of this kind exists (`tracing-appender`). It neither counts failed writes nor
//! flushes within a time limit, which a Lambda extension needs before each freeze.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use tracing_subscriber::fmt::{
    MakeWriter,
    format::Writer,
    time::{FormatTime, SystemTime},
};

/// Lines that may wait to be written.
const QUEUE_LINES: usize = 2_048;

/// Bytes that may wait to be written.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// How the line about lost lines looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFormat {
    /// One JSON object.
    Json,
    /// Time, level, target, text.
    Text,
}

/// Where log lines go; clones share one queue.
#[derive(Clone, Debug)]
pub struct LogWriter {
    queue: SyncSender<Entry>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Lines lost since the start.
    lost: AtomicU64,
    /// Bytes that wait in the queue.
    waiting: AtomicUsize,
}

enum Entry {
    Line(Vec<u8>),
    /// Everything before it has been written when the other end hears of it.
    Flush(SyncSender<()>),
}

impl LogWriter {
    /// Starts the thread that writes to `output`.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(output: impl Write + Send + 'static, format: LineFormat) -> io::Result<Self> {
        let (queue, entries) = sync_channel(QUEUE_LINES);
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::Builder::new()
            .name("weir-log".to_owned())
            .spawn(move || write_all(&entries, output, &shared, format))?;
        Ok(Self { queue, state })
    }

    /// Lines that were lost since the start.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.state.lost.load(Ordering::Relaxed)
    }

    /// Waits until the lines so far are written, for at most `limit`. Returns whether they are.
    pub fn flush(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let (done, written) = sync_channel(1);
        if self.queue.try_send(Entry::Flush(done)).is_err() {
            return false;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        written.recv_timeout(left).is_ok()
    }

    fn push(&self, line: &[u8]) {
        let state = &self.state;
        let waiting = state.waiting.fetch_add(line.len(), Ordering::Relaxed);
        let fits = waiting + line.len() <= QUEUE_BYTES;
        if !fits || self.queue.try_send(Entry::Line(line.to_vec())).is_err() {
            state.waiting.fetch_sub(line.len(), Ordering::Relaxed);
            state.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One call of `write` is one line: `tracing_subscriber` writes each event in one piece.
impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn write_all(entries: &Receiver<Entry>, mut output: impl Write, state: &State, format: LineFormat) {
    let mut reported = 0;
    for entry in entries {
        match entry {
            Entry::Line(line) => {
                state.waiting.fetch_sub(line.len(), Ordering::Relaxed);
                let lost = state.lost.load(Ordering::Relaxed);
                if lost > reported && output.write_all(&report(lost - reported, format)).is_ok() {
                    reported = lost;
                }
                if output
                    .write_all(&line)
                    .and_then(|()| output.flush())
                    .is_err()
                {
                    state.lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            Entry::Flush(done) => {
                let _ = done.try_send(());
            }
        }
    }
}

/// The line that states how many lines are missing before it.
fn report(lost: u64, format: LineFormat) -> Vec<u8> {
    let mut now = String::new();
    let _ = SystemTime.format_time(&mut Writer::new(&mut now));
    let text = "log lines were lost because they could not be written";
    let line = match format {
        LineFormat::Json => format!(
            "{{\"timestamp\":\"{now}\",\"level\":\"WARN\",\"message\":\"{text}\",\
             \"lost_lines\":{lost},\"target\":\"weir::log\"}}\n"
        ),
        LineFormat::Text => format!("{now}  WARN weir::log: {text} lost_lines={lost}\n"),
    };
    line.into_bytes()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// An output whose every write waits for a permit, and fails where the permit says so.
    struct Gate {
        permits: mpsc::Receiver<bool>,
        written: mpsc::Sender<String>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if !self.permits.recv().unwrap_or(true) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let _ = self
                .written
                .send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gate() -> (LogWriter, mpsc::Sender<bool>, mpsc::Receiver<String>) {
        let (permit, permits) = mpsc::channel();
        let (written, lines) = mpsc::channel();
        let writer = LogWriter::start(Gate { permits, written }, LineFormat::Text).unwrap();
        (writer, permit, lines)
    }

    #[test]
    fn a_stalled_reader_delays_nobody_and_the_loss_is_reported() {
        let (writer, permit, lines) = gate();
        let started = Instant::now();
        for number in 0..3 * QUEUE_LINES {
            writer.push(format!("line {number}\n").as_bytes());
        }
        assert!(started.elapsed() < Duration::from_secs(5));
        let lost = writer.lost();
        assert!(lost >= QUEUE_LINES as u64, "{lost}");
        assert!(
            !writer.flush(Duration::from_millis(50)),
            "nothing was written"
        );
        drop(permit);
        let first: Vec<String> = lines.iter().take(3).collect();
        assert!(first.iter().any(|line| line == "line 0\n"), "{first:?}");
        let report = first.iter().find(|line| line.contains("lost_lines="));
        assert!(report.is_some(), "{first:?}");
    }

    #[test]
    fn a_reader_that_is_gone_costs_lines_and_nothing_else() {
        let (writer, permit, lines) = gate();
        permit.send(false).unwrap();
        writer.push(b"nobody reads this\n");
        assert!(writer.flush(Duration::from_secs(5)));
        assert_eq!(writer.lost(), 1);
        drop(permit);
        writer.push(b"somebody reads this\n");
        assert!(writer.flush(Duration::from_secs(5)));
        let written: Vec<String> = lines.try_iter().collect();
        assert!(written[0].contains("lost_lines=1"), "{written:?}");
        assert_eq!(written[1], "somebody reads this\n");
    }

    #[test]
    fn the_bytes_that_wait_are_bounded() {
        let (writer, _permit, _lines) = gate();
        let line = vec![b'x'; 1024 * 1024];
        for _ in 0..64 {
            writer.push(&line);
        }
        assert!(writer.state.waiting.load(Ordering::Relaxed) <= QUEUE_BYTES);
        assert!(writer.lost() >= 58);
    }

    #[test]
    fn the_report_is_json_where_lines_are() {
        let line = report(7, LineFormat::Json);
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(value["lost_lines"], 7);
        assert_eq!(value["level"], "WARN");
    }
}
