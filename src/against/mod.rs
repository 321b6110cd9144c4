//! `redraft against`.

use std::path::PathBuf;

use clap::Args;

use crate::exit::{Exit, Outcome};

#[derive(Args, Debug)]
pub(crate) struct AgainstArgs {
    pub(crate) file: PathBuf,
}

pub(crate) fn against(_: AgainstArgs) -> Outcome {
    Ok(Exit::Done)
}
