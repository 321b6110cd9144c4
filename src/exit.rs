//! Exit codes and what is printed before them.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use redraft_engine::failure::{Cause, Failure};
use redraft_engine::table::Twice;

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    NodeFailed = 1,
    Wrong = 2,
    Missing = 3,
    OutOfMemory = 4,
    Cancelled = 130,
}

impl Exit {
    pub(crate) fn of_failure(failure: &Failure) -> Self {
        match failure.cause {
            Cause::OutOfMemory => Self::OutOfMemory,
            Cause::Unsupported => Self::Missing,
            Cause::Failed | Cause::Cycle(_) | Cause::NodeInput => Self::NodeFailed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that could not do its work: what to print, and the exit code.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

pub(crate) type Outcome<T = Exit> = Result<T, Stop>;

impl Stop {
    pub(crate) fn wrong(message: impl Display) -> Self {
        Self { exit: Exit::Wrong, message: message.to_string() }
    }
}

/// Two packs declare the same name.
impl From<Twice> for Stop {
    fn from(twice: Twice) -> Self {
        Self::wrong(twice)
    }
}

/// Errors of files and settings count as a wrong command.
impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::wrong(format!("{error:#}"))
    }
}

/// Writes a line to stdout. Whoever reads it may have gone (`redraft run ... | head`): the work goes on all the same.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Writes a line to stderr.
pub(crate) fn tell(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
