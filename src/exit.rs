//! How a command ends: exit codes, and what is wrong.

use std::fmt::Display;
use std::process::ExitCode;

use redraft_engine::failure::{Cause, Failure};
use redraft_engine::problem::Problem;
use redraft_engine::table::Twice;

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    /// Or stdout could not be written.
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
    /// What is wrong with the workflow, for programs.
    pub(crate) problems: Vec<Problem>,
}

pub(crate) type Outcome<T = Exit> = Result<T, Stop>;

impl Stop {
    pub(crate) fn new(exit: Exit, message: impl Display) -> Self {
        Self { exit, message: message.to_string(), problems: Vec::new() }
    }

    pub(crate) fn wrong(message: impl Display) -> Self {
        Self::new(Exit::Wrong, message)
    }

    /// The same, said of a file.
    pub(crate) fn of_file(self, file: &str) -> Self {
        let lines: Vec<_> = self.message.lines().map(|line| format!("{file}: {line}")).collect();
        Self { message: lines.join("\n"), ..self }
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
