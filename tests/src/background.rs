//! A thread with a runtime of its own.
//!
//! Every `#[tokio::test]` has its own runtime, and tasks die with it. Helpers
//! that outlive one test, or that must not share a test's only core, run here.

use std::future::Future;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// Ends its tasks when dropped.
#[derive(Debug)]
pub struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Runs `work` on a thread called `name` until it ends or this is dropped.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be made.
    pub fn run<F: Future<Output = ()>>(
        name: &str,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .context("no runtime for a helper")?;
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = work() => {}
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Background {
    /// Accepts on `listener` and gives each connection to a task that `serve` makes, until this
    /// is dropped.
    ///
    /// # Errors
    /// When the listener, the thread or its runtime cannot be had.
    pub fn serve<F: Future<Output = ()> + Send + 'static>(
        name: &str,
        listener: std::net::TcpListener,
        serve: impl FnMut(TcpStream) -> F + Send + 'static,
    ) -> Result<Self> {
        listener.set_nonblocking(true)?;
        Self::run(name, move || async move {
            if let Ok(listener) = TcpListener::from_std(listener) {
                accept_all(&listener, serve).await;
            }
        })
    }
}

/// The accept loop of every helper: a task for each connection.
pub async fn accept_all<F: Future<Output = ()> + Send + 'static>(
    listener: &TcpListener,
    mut serve: impl FnMut(TcpStream) -> F,
) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream));
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
