//! What a Weir has logged.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

/// How many lines are kept for looking at.
const KEPT_LINES: usize = 20_000;

/// Lines of both streams, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    pub(crate) fn follow(&self, stream: Option<impl Read + Send + 'static>) -> Result<()> {
        let log = self.clone();
        let stream = stream.context("no pipe")?;
        std::thread::Builder::new()
            .name("weir log".into())
            .spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let mut lines = log.0.lock().unwrap_or_else(PoisonError::into_inner);
                    if lines.len() == KEPT_LINES {
                        lines.pop_front();
                    }
                    lines.push_back(line);
                }
            })?;
        Ok(())
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }

    pub(crate) fn text(&self) -> String {
        self.lines().join("\n")
    }
}
