//! What the user sees while it runs: lines that stay and one line that moves.

use std::ffi::OsString;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::numbers::count;
use crate::paint::{Paint, Style};

/// Without a terminal the moving line becomes lines of a log, this far apart.
const LOG_EVERY: Duration = Duration::from_secs(2);

/// Whether the environment asks for text without colour: `NO_COLOR` is set, or the terminal
/// is dumb.
#[must_use]
pub fn is_plain() -> bool {
    let is = |name: &str, wanted: fn(&OsString) -> bool| {
        std::env::var_os(name).is_some_and(|value| wanted(&value))
    };
    is("NO_COLOR", |value| !value.is_empty()) || is("TERM", |value| value == "dumb")
}

/// Standard output or standard error, as a terminal or as a log.
#[derive(Debug)]
pub struct Screen {
    /// How text is set off.
    pub paint: Paint,
    terminal: bool,
    /// Standard output is for a document: everything else goes to standard error.
    aside: bool,
    last_log: Mutex<Option<Instant>>,
}

impl Screen {
    /// `plain` suppresses colour (`NO_COLOR`, `TERM=dumb`).
    pub fn new(plain: bool) -> Self {
        Self::on(false, stdout().is_terminal(), plain)
    }

    /// The same on standard error.
    pub fn aside(plain: bool) -> Self {
        Self::on(true, stderr().is_terminal(), plain)
    }

    fn on(aside: bool, terminal: bool, plain: bool) -> Self {
        Self {
            paint: Paint {
                colour: terminal && !plain,
            },
            terminal,
            aside,
            last_log: Mutex::new(None),
        }
    }

    /// Writes lines that stay. Nobody may be reading any more: errors are ignored.
    pub fn say(&self, text: &str) {
        let clear = if self.terminal { "\r\x1b[2K" } else { "" };
        self.write(&format!("{clear}{text}\n"));
    }

    fn write(&self, text: &str) {
        let mut out: Box<dyn Write> = match self.aside {
            true => Box::new(stderr()),
            false => Box::new(stdout()),
        };
        let _ = out.write_all(text.as_bytes());
        let _ = out.flush();
    }

    /// Replaces the moving line.
    pub fn show(&self, line: &str) {
        if self.terminal {
            self.write(&format!("\r\x1b[2K{line}"));
            return;
        }
        let mut last = self.last_log.lock();
        if last.is_none_or(|last| last.elapsed() >= LOG_EVERY) {
            *last = Some(Instant::now());
            self.write(&format!("{line}\n"));
        }
    }

    /// Says what is being done; the next line replaces it.
    pub fn step(&self, text: &str) {
        if self.terminal {
            self.show(&format!("  {text}..."));
        } else {
            self.say(&format!("  {text}..."));
        }
    }

    /// A heading between parts.
    pub fn heading(&self, text: &str) {
        self.say(&format!("\n  {}", self.paint.apply(Style::Bold, text)));
    }

    /// A side remark.
    pub fn remark(&self, text: &str) {
        self.say(&self.paint.apply(Style::Dim, &format!("  {text}")));
    }
}

/// The numbers in the moving line.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Since the phase began.
    pub elapsed: Duration,
    /// Students who have come so far.
    pub arrived: u64,
    /// Of these, who have finished.
    pub served: u64,
    /// Of these, who have given up.
    pub gave_up: u64,
    /// Sockets refused so far.
    pub refused: u64,
    /// Connections of the server now.
    pub connections: Option<u64>,
}

impl Progress {
    /// One line that fits into 80 columns.
    pub fn line(&self) -> String {
        let inside = self.arrived.saturating_sub(self.served + self.gave_up);
        let server = self
            .connections
            .map_or(String::new(), |n| format!("  server {}", count(n)));
        format!(
            "  {:>4.1} s  in exam {:>5}  done {:>5}  gave up {:>5}{server}  refused {}",
            self.elapsed.as_secs_f64(),
            count(inside),
            count(self.served),
            count(self.gave_up),
            count(self.refused),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moving_line_fits_and_adds_up() {
        let progress = Progress {
            elapsed: Duration::from_millis(19_240),
            arrived: 1_500,
            served: 167,
            gave_up: 1_277,
            refused: 26_692,
            connections: Some(499),
        };
        let line = progress.line();
        assert_eq!(
            line,
            "  19.2 s  in exam    56  done   167  gave up 1,277  server 499  refused 26,692"
        );
        assert!(line.chars().count() < 80);
    }
}
