//! The front of a command that computes: shows what the compute thread says, and passes ctrl-c and SIGTERM on to it.

use tokio::sync::mpsc::UnboundedReceiver;

use crate::exit::{Exit, Outcome, Stop};
use crate::out::tell;
use crate::worker::{JobId, Message, Worker};

/// SIGTERM, by which services and CI end a process; nothing elsewhere than on Unix.
struct Terminate(#[cfg(unix)] Option<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl Terminate {
    fn new() -> Self {
        Self(tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok())
    }

    async fn received(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    }
}

#[cfg(not(unix))]
impl Terminate {
    fn new() -> Self {
        Self()
    }

    async fn received(&mut self) {
        std::future::pending().await
    }
}

/// Shows all messages, until the worker has done all of its jobs. Ctrl-c and SIGTERM cancel them, which ends a run at the next
/// sampling step; a second ctrl-c ends the process.
pub(crate) fn watch<J: Send + 'static>(
    mut worker: Worker<J>,
    mut messages: UnboundedReceiver<(JobId, Message)>,
    mut show: impl FnMut(JobId, Message),
) -> Outcome<()> {
    worker.close();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Stop::wrong)?;
    runtime.block_on(async {
        let mut terminate = Terminate::new();
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Some((job, message)) => show(job, message),
                    None => break,
                },
                _ = tokio::signal::ctrl_c() => {
                    if worker.cancel_all() {
                        std::process::exit(Exit::Cancelled as i32);
                    }
                    tell("stopping at the next step; press ctrl-c again to stop at once");
                }
                () = terminate.received() => drop(worker.cancel_all()),
            }
        }
    });
    worker.join()
}
