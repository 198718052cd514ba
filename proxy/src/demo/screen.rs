//! What the user sees while it runs: lines that stay and one line that moves.

use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::numbers::count;
use super::paint::{Paint, Style};

/// Without a terminal the moving line becomes lines of a log, this far apart.
const LOG_EVERY: Duration = Duration::from_secs(2);

/// Standard output, as a terminal or as a log.
#[derive(Debug)]
pub(super) struct Screen {
    /// How text is set off.
    pub(super) paint: Paint,
    terminal: bool,
    last_log: Mutex<Option<Instant>>,
}

impl Screen {
    /// `plain` suppresses colour (`NO_COLOR`, `TERM=dumb`).
    pub(super) fn new(plain: bool) -> Self {
        let terminal = stdout().is_terminal();
        Self {
            paint: Paint {
                colour: terminal && !plain,
            },
            terminal,
            last_log: Mutex::new(None),
        }
    }

    /// Writes lines that stay. Nobody may be reading any more: errors are ignored.
    pub(super) fn say(&self, text: &str) {
        let clear = if self.terminal { "\r\x1b[2K" } else { "" };
        let _ = writeln!(stdout(), "{clear}{text}");
    }

    /// Replaces the moving line.
    pub(super) fn show(&self, line: &str) {
        if self.terminal {
            let mut out = stdout();
            let _ = write!(out, "\r\x1b[2K{line}");
            let _ = out.flush();
            return;
        }
        let mut last = self.last_log.lock();
        if last.is_none_or(|last| last.elapsed() >= LOG_EVERY) {
            *last = Some(Instant::now());
            let _ = writeln!(stdout(), "{line}");
        }
    }

    /// Says what is being done; the next line replaces it.
    pub(super) fn step(&self, text: &str) {
        if self.terminal {
            self.show(&format!("  {text}..."));
        } else {
            self.say(&format!("  {text}..."));
        }
    }

    /// A heading between parts.
    pub(super) fn heading(&self, text: &str) {
        self.say(&format!("\n  {}", self.paint.apply(Style::Bold, text)));
    }

    /// A side remark.
    pub(super) fn remark(&self, text: &str) {
        self.say(&self.paint.apply(Style::Dim, &format!("  {text}")));
    }
}

/// The numbers in the moving line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// Since the phase began.
    pub(super) elapsed: Duration,
    /// Students who have come so far.
    pub(super) arrived: u64,
    /// Of these, who have finished.
    pub(super) served: u64,
    /// Of these, who have given up.
    pub(super) gave_up: u64,
    /// Sockets refused so far.
    pub(super) refused: u64,
    /// Connections of the server now.
    pub(super) connections: Option<u64>,
}

impl Progress {
    /// One line that fits into 80 columns.
    pub(super) fn line(&self) -> String {
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
