//! The compute thread. It owns the engine and every value; events come out, cancellation goes in.
//!
//! One thread, because every thread that calls libtorch grows a team of its own, and libtorch's seed and grad mode are
//! bound to process and thread. tokio serves the front: events as they come, and ctrl-c.

use redraft_engine::cx::Cancel;
use redraft_engine::event::{Event, Observer};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::exit::{Exit, Outcome, Stop, tell};

/// What the compute thread says.
#[derive(Debug)]
pub(crate) enum Message {
    Event(Event),
    /// A line for the person that is no event of a run.
    Note(String),
}

/// The compute thread's end of the line.
#[derive(Clone)]
pub(crate) struct Line {
    sender: UnboundedSender<Message>,
    /// Whether previews are wanted.
    pub(crate) previews: bool,
}

impl Line {
    pub(crate) fn note(&self, text: impl Into<String>) {
        // The front goes on listening until this end is dropped.
        let _ = self.sender.send(Message::Note(text.into()));
    }
}

impl Observer for Line {
    fn event(&mut self, event: Event) {
        let _ = self.sender.send(Message::Event(event));
    }

    fn wants_previews(&self) -> bool {
        self.previews
    }
}

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

/// Runs `work` on the compute thread and `show` on this one. Ctrl-c and SIGTERM raise the flag, which ends the run at the next
/// sampling step; a second ctrl-c ends the process.
pub(crate) fn run(
    work: impl FnOnce(Line, Cancel) -> Outcome + Send + 'static,
    mut show: impl FnMut(Message),
) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Stop::wrong)?;
    let (sender, mut receiver) = unbounded_channel();
    let cancel = Cancel::default();
    let flag = cancel.clone();
    let worker = std::thread::Builder::new()
        .name("compute".into())
        .spawn(move || {
            // Grad mode is bound to the thread and starts on.
            let _no_grad = tch::no_grad_guard();
            work(Line { sender, previews: false }, flag)
        })
        .map_err(Stop::wrong)?;
    runtime.block_on(async {
        let mut terminate = Terminate::new();
        loop {
            tokio::select! {
                message = receiver.recv() => match message {
                    Some(message) => show(message),
                    None => break,
                },
                _ = tokio::signal::ctrl_c() => {
                    if cancel.is_raised() {
                        std::process::exit(Exit::Cancelled as i32);
                    }
                    tell("stopping at the next step; press ctrl-c again to stop at once");
                    cancel.raise();
                }
                () = terminate.received() => cancel.raise(),
            }
        }
    });
    worker.join().unwrap_or_else(|_| {
        Err(Stop {
            exit: Exit::NodeFailed,
            message: "the compute thread ended unexpectedly; please report this".into(),
        })
    })
}
