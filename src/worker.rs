//! The compute thread, an actor: jobs go in, events come out. It owns the engine and every value.
//!
//! One thread, because every thread that calls libtorch grows a team of its own, and libtorch's seed and grad mode are
//! bound to process and thread. What needs neither, such as reading and checking the next workflow, is done elsewhere meanwhile.

use std::sync::mpsc;
use std::thread::JoinHandle;

use redraft_engine::cx::Cancel;
use redraft_engine::event::{Event, Observer};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::exit::{Exit, Outcome, Stop};

/// A job's number, in the order in which they were submitted, from 0.
pub(crate) type JobId = usize;

/// What the compute thread says of a job.
#[derive(Debug)]
pub(crate) enum Message {
    /// The job is begun.
    Begun,
    Event(Event),
    /// A line for the person that is no event of a run.
    Note(String),
    /// What the job is at, to be shown while it is: `case 3 of 12`.
    At(String),
    /// The job is over; nothing if it was never begun.
    Done(Option<Outcome>),
}

/// What a job reports through.
#[derive(Clone)]
pub(crate) struct Line {
    job: JobId,
    sender: UnboundedSender<(JobId, Message)>,
    previews: bool,
}

impl Line {
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.send(Message::Note(text.into()));
    }

    /// Says what the job is at.
    pub(crate) fn at(&self, text: impl Into<String>) {
        self.send(Message::At(text.into()));
    }

    /// One that nobody listens to.
    #[cfg(test)]
    pub(crate) fn unheard() -> Self {
        Self { job: 0, sender: unbounded_channel().0, previews: false }
    }

    fn send(&self, message: Message) {
        // If nobody listens any more, the work is done all the same.
        let _ = self.sender.send((self.job, message));
    }
}

impl Observer for Line {
    fn event(&mut self, event: Event) {
        self.send(Message::Event(event));
    }

    fn wants_previews(&self) -> bool {
        self.previews
    }
}

/// How jobs are done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    /// Whether previews are wanted.
    pub(crate) previews: bool,
    /// Whether no further job is begun once one has failed.
    pub(crate) stop_at_failure: bool,
}

/// The compute thread, seen from others. Jobs are done in the order in which they are submitted.
pub(crate) struct Worker<J> {
    /// None once the worker is closed.
    jobs: Option<mpsc::Sender<(J, Cancel)>>,
    /// By job.
    cancels: Vec<Cancel>,
    thread: JoinHandle<()>,
}

impl<J: Send + 'static> Worker<J> {
    /// Starts the thread. `open` makes there what does the jobs; if that fails, so does the first job, and no other is begun.
    pub(crate) fn start<W>(
        options: Options,
        open: impl FnOnce() -> Outcome<W> + Send + 'static,
    ) -> Outcome<(Self, UnboundedReceiver<(JobId, Message)>)>
    where
        W: FnMut(J, &mut Line, &Cancel) -> Outcome,
    {
        let (jobs, queue) = mpsc::channel();
        let (sender, messages) = unbounded_channel();
        let work = move || {
            // Grad mode is bound to the thread and starts on.
            let _no_grad = tch::no_grad_guard();
            serve(open(), options, &queue, &sender);
        };
        let thread = std::thread::Builder::new().name("compute".into()).spawn(work).map_err(Stop::wrong)?;
        Ok((Self { jobs: Some(jobs), cancels: Vec::new(), thread }, messages))
    }

    /// Hands a job in. It is never begun if the thread is gone, which `join` tells.
    pub(crate) fn submit(&mut self, job: J) -> JobId {
        let cancel = Cancel::default();
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send((job, cancel.clone()));
        }
        self.cancels.push(cancel);
        self.cancels.len() - 1
    }

    /// Ends a job: at its next step if it runs; before it begins if it waits.
    pub(crate) fn cancel(&self, job: JobId) {
        self.cancels.get(job).into_iter().for_each(Cancel::raise);
    }

    /// Ends all jobs. Returns whether all were cancelled before.
    pub(crate) fn cancel_all(&self) -> bool {
        let before = self.cancels.iter().all(Cancel::is_raised);
        (0..self.cancels.len()).for_each(|job| self.cancel(job));
        before
    }

    /// Takes no more jobs: the thread, and with it the messages, ends when all are done.
    pub(crate) fn close(&mut self) {
        self.jobs = None;
    }

    /// Waits until all jobs are done.
    pub(crate) fn join(mut self) -> Outcome<()> {
        self.close();
        let lost = "the compute thread ended unexpectedly; please report this";
        self.thread.join().map_err(|_| Stop::new(Exit::NodeFailed, lost))
    }
}

/// Does jobs until no more can come.
fn serve<J, W: FnMut(J, &mut Line, &Cancel) -> Outcome>(
    work: Outcome<W>,
    options: Options,
    queue: &mpsc::Receiver<(J, Cancel)>,
    sender: &UnboundedSender<(JobId, Message)>,
) {
    let (mut work, mut unopened) = match work {
        Ok(work) => (Some(work), None),
        Err(stop) => (None, Some(stop)),
    };
    let mut failed = false;
    for (job, (task, cancel)) in queue.iter().enumerate() {
        let mut line = Line { job, sender: sender.clone(), previews: options.previews };
        let outcome = match &mut work {
            _ if cancel.is_raised() || (failed && options.stop_at_failure) => None,
            Some(work) => {
                line.send(Message::Begun);
                Some(work(task, &mut line, &cancel))
            }
            None => unopened.take().map(Err),
        };
        failed |= matches!(outcome, Some(Err(_)));
        line.send(Message::Done(outcome));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A job that runs until it is told to go on, or cancelled.
    enum Job {
        /// Notes its name and ends.
        Say(&'static str),
        /// Says that it has begun, and ends when it is cancelled.
        UntilCancelled,
        /// Says that it has begun, and ends when it is told to.
        Until(mpsc::Receiver<()>),
        Fail,
    }

    fn work(job: Job, line: &mut Line, cancel: &Cancel) -> Outcome {
        match job {
            Job::Say(name) => line.note(name),
            Job::UntilCancelled => {
                line.note("begun");
                while !cancel.is_raised() {
                    std::thread::yield_now();
                }
                return Err(Stop::new(Exit::Cancelled, "cancelled"));
            }
            Job::Until(told) => {
                line.note("begun");
                told.recv().unwrap();
            }
            Job::Fail => return Err(Stop::wrong("it failed")),
        }
        Ok(Exit::Done)
    }

    fn start(options: Options) -> (Worker<Job>, UnboundedReceiver<(JobId, Message)>) {
        Worker::start(options, || Ok(work)).unwrap()
    }

    /// The remaining messages, as text.
    fn rest(mut messages: UnboundedReceiver<(JobId, Message)>) -> Vec<String> {
        std::iter::from_fn(|| messages.blocking_recv())
            .filter(|(_, message)| !matches!(message, Message::Begun))
            .map(|(job, message)| format!("{job} {}", word(&message)))
            .collect()
    }

    fn word(message: &Message) -> String {
        match message {
            Message::Begun => "is begun".to_owned(),
            Message::Event(event) => format!("{event:?}"),
            Message::Note(text) | Message::At(text) => text.clone(),
            Message::Done(None) => "was not begun".to_owned(),
            Message::Done(Some(Ok(exit))) => format!("{exit:?}"),
            Message::Done(Some(Err(stop))) => stop.message.clone(),
        }
    }

    #[test]
    fn jobs_are_done_in_order_and_messages_say_whose_they_are() {
        let (mut worker, messages) = start(Options::default());
        for job in [Job::Say("a"), Job::Fail, Job::Say("b")] {
            worker.submit(job);
        }
        worker.close();
        assert_eq!(rest(messages), ["0 a", "0 Done", "1 it failed", "2 b", "2 Done"]);
        worker.join().unwrap();
    }

    #[test]
    fn a_failure_ends_the_queue_where_it_is_to() {
        let (mut worker, messages) = start(Options { stop_at_failure: true, ..Options::default() });
        for job in [Job::Say("a"), Job::Fail, Job::Say("b")] {
            worker.submit(job);
        }
        worker.close();
        assert_eq!(rest(messages), ["0 a", "0 Done", "1 it failed", "2 was not begun"]);
    }

    #[test]
    fn a_job_that_runs_and_one_that_waits_are_cancelled() {
        let (mut worker, mut messages) = start(Options::default());
        let (tell, told) = mpsc::channel();
        let ids = [Job::UntilCancelled, Job::Until(told), Job::Say("a"), Job::Say("b")].map(|job| worker.submit(job));
        worker.close();
        let mut next = || word(&messages.blocking_recv().unwrap().1);
        assert_eq!([next(), next()], ["is begun", "begun"]);
        worker.cancel(ids[0]);
        assert_eq!([next(), next(), next()], ["cancelled", "is begun", "begun"]);
        worker.cancel(ids[2]);
        tell.send(()).unwrap();
        assert_eq!(rest(messages), ["1 Done", "2 was not begun", "3 b", "3 Done"]);
        assert!(!worker.cancel_all() && worker.cancel_all());
    }

    #[test]
    fn what_cannot_be_opened_is_said_once() {
        let open = || Err::<fn(Job, &mut Line, &Cancel) -> Outcome, _>(Stop::wrong("no device"));
        let (mut worker, messages) = Worker::start(Options::default(), open).unwrap();
        worker.submit(Job::Say("a"));
        worker.submit(Job::Say("b"));
        worker.close();
        assert_eq!(rest(messages), ["0 no device", "1 was not begun"]);
    }

    #[test]
    fn a_thread_that_is_gone_is_told_of() {
        let lost = || -> Outcome<fn(Job, &mut Line, &Cancel) -> Outcome> { panic!("a bug") };
        let (mut worker, messages) = Worker::start(Options::default(), lost).unwrap();
        worker.submit(Job::Say("a"));
        assert!(rest(messages).is_empty());
        assert!(worker.join().is_err());
    }
}
