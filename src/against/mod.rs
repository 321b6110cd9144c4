//! `redraft diff --against`: a workflow here and on a running ComfyUI, and where the two part.

mod bisect;
mod compare;
mod follow;
mod pair;
mod probes;
mod server;

use std::sync::Arc;

use redraft_engine::aside;
use redraft_engine::cache::Policy;
use redraft_engine::cx::Cancel;
use redraft_engine::node::Registry;

use self::pair::Pair;
use self::server::Server;
use crate::args::{DiffArgs, Progress};
use crate::bars::Bars;
use crate::exit::{Outcome, Stop};
use crate::run::{Asked, prepare};
use crate::worker::{Line, Options, Worker};
use crate::{directories, front, session, substitutes};

pub(crate) fn against(args: DiffArgs, url: &str, quiet: bool) -> Outcome {
    let device = session::device(&args.compute)?;
    let server = Server::new(url)?;
    // Saturates: whoever allows more than white allows everything.
    let levels = args.tolerance.map_or(1, |tolerance| (tolerance * 255.0).round() as u8);
    let registry = Arc::new(Registry::linked()?);
    let mut folders = directories::folders(&args.directories)?;
    let substitutes = substitutes::named(&args.changes, &args.directories)?;
    let bars = Bars::new(if quiet { args.progress.or(Some(Progress::None)) } else { args.progress }, false);
    let asked = Asked { changes: &args.changes, only: &[], allow_partial: false };
    let ready = prepare(asked, &args.before, &substitutes, &registry, &folders, &mut |text| {
        if !quiet || text.starts_with("warning: ") {
            bars.line(&text);
        }
    })?;
    // What is saved here is compared, and goes in the end.
    let aside = aside::temporary_folder("redraft-run-").map_err(Stop::wrong)?;
    folders.save_in(aside.path().join("output"), aside.path().join("temp"));
    let folders = Arc::new(folders);
    let (mut worker, messages) = Worker::start(Options::default(), move || {
        let engine = session::engine(folders, device, Policy::default(), None)?;
        let mut pair = Pair::new(engine, registry, server, levels, args.timeout);
        Ok(move |job, line: &mut Line, cancel: &Cancel| pair.compare(job, line, cancel))
    })?;
    worker.submit(ready);
    front::held_against(worker, messages, bars)
}
