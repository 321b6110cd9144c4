//! The front of a command that computes: shows what the compute thread says, and passes ctrl-c and SIGTERM on to it.

use std::io::IsTerminal;
use std::time::Duration;

use redraft_engine::cx::Cancel;
use redraft_engine::event::Event;
use redraft_engine::prompt::NodeId;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use crate::args::Progress;
use crate::bars::Bars;
use crate::exit::{Exit, Outcome, Stop};
use crate::out::{say, tell};
use crate::process;
use crate::worker::{self, JobId, Line, Message, Worker};

/// Has the compute thread do one piece of work. Its progress is shown on a terminal alone; `note` is told its lines, with the bar that they
/// go above.
pub(crate) fn alone(
    work: impl FnOnce(&mut Line, &Cancel) -> Outcome + Send + 'static,
    note: impl Fn(&Bars, String),
) -> Outcome {
    let mut work = Some(work);
    let job = move |(), line: &mut Line, cancel: &Cancel| work.take().map_or(Ok(Exit::Done), |work| work(line, cancel));
    let (mut worker, messages) = Worker::start(worker::Options::default(), || Ok(job))?;
    worker.submit(());
    let hidden = (!std::io::stderr().is_terminal()).then_some(Progress::None);
    let (mut bars, mut end) = (Bars::new(hidden, false), Ok(Exit::Done));
    watch(worker, messages, |_, message| match message {
        Message::Begun => {}
        Message::At(text) => bars.at(&text),
        Message::Event(event) => bars.show(&event),
        Message::Note(text) => note(&bars, text),
        Message::Done(outcome) => end = outcome.unwrap_or(Ok(Exit::Cancelled)),
    })?;
    end
}

/// Shows one job whose results are held against others: its files go in the end, so that they are not told. What it notes is the command's
/// answer, on stdout.
pub(crate) fn held_against<J: Send + 'static>(
    worker: Worker<J>,
    messages: UnboundedReceiver<(JobId, Message)>,
    mut bars: Bars,
) -> Outcome {
    let mut end = Ok(Exit::Done);
    watch(worker, messages, |_, message| match message {
        Message::Begun | Message::At(_) | Message::Event(Event::Executed { .. }) => {}
        Message::Event(event) => bars.show(&event),
        Message::Note(text) => say(text),
        Message::Done(outcome) => end = outcome.unwrap_or_else(|| Err(Stop::new(Exit::Cancelled, "cancelled"))),
    })?;
    end
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

/// Shows all messages, until the worker has done all of its jobs. Ctrl-c and SIGTERM cancel them, which ends a run at the next
/// sampling step, or within a second, in the middle of what a node does; a second ctrl-c ends the process.
pub(crate) fn watch<J: Send + 'static>(
    mut worker: Worker<J>,
    mut messages: UnboundedReceiver<(JobId, Message)>,
    mut show: impl FnMut(JobId, Message),
) -> Outcome<()> {
    worker.close();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Stop::wrong)?;
    runtime.block_on(async {
        let mut terminate = Terminate::new();
        let mut under_way = UnderWay::default();
        let mut deadline = None;
        loop {
            let late = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = messages.recv() => match message {
                    Some((job, message)) => {
                        under_way.see(job, &message);
                        show(job, message);
                    }
                    None => break,
                },
                _ = tokio::signal::ctrl_c() => {
                    if worker.cancel_all() {
                        process::end(Exit::Cancelled);
                    }
                    tell("stopping at the next step; press ctrl-c again to stop at once");
                    deadline = Some(Instant::now() + PATIENCE);
                }
                () = terminate.received() => {
                    worker.cancel_all();
                    deadline = deadline.or(Some(Instant::now() + PATIENCE));
                }
                () = late => {
                    process::abandon();
                    match under_way.job {
                        Some(job) => {
                            under_way.interrupted().into_iter().for_each(|event| show(job, Message::Event(event)));
                            show(job, Message::Done(Some(Err(Stop::new(Exit::Cancelled, "cancelled")))));
                        }
                        // The device is still being opened.
                        None if !under_way.begun => show(0, Message::Done(None)),
                        // All is done, and what was done with is still being put away.
                        None => {}
                    }
                    return Ok(());
                }
            }
        }
        worker.join()
    })
}

/// How long a node has to end at a place of its own choice. One that takes longer is left, and the process ends without it.
const PATIENCE: Duration = Duration::from_millis(700);

/// What runs, as far as the messages tell.
#[derive(Default)]
struct UnderWay {
    /// The job that is begun and not over.
    job: Option<JobId>,
    /// Whether any was begun.
    begun: bool,
    node: Option<(NodeId, String)>,
    executed: Vec<NodeId>,
}

impl UnderWay {
    fn see(&mut self, job: JobId, message: &Message) {
        match message {
            Message::Begun => *self = Self { job: Some(job), begun: true, ..Self::default() },
            Message::Done(_) => self.job = None,
            Message::Event(Event::Executing { node, class, .. }) => self.node = Some((node.clone(), class.clone())),
            Message::Event(Event::Finished { node, .. }) => {
                self.node = None;
                self.executed.push(node.clone());
            }
            _ => {}
        }
    }

    /// The event that the node under way would have sent.
    fn interrupted(self) -> Option<Event> {
        let Self { node, executed, .. } = self;
        node.map(|(node, class)| Event::Interrupted { node, class, executed })
    }
}
