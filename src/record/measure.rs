//! How far a workflow's outputs vary with the order in which sums are made: a second run, with other kernels.

use redraft_engine::cx::Cancel;
use redraft_engine::node::Registry;
use redraft_engine::plan::Plan;
use redraft_nodes::ops::attention::with_fused_kernels;

use super::prepare::Prepared;
use crate::bench::{Bench, Ran};
use crate::case::Measured;
use crate::compare::{Deviation, PICTURE_STEP, SavedPicture, compare, largest, of_pictures};
use crate::exit::{Outcome, Stop};
use crate::session;
use crate::worker::Line;

/// The tolerance is so many times the measured difference: other CPUs round at other places than the second run does.
const MULTIPLE: f64 = 10.0;
/// Runs that are further apart than this have little in common.
pub(super) const PARTED: f64 = 0.01;

/// Runs the workflow again, with another number of threads and fused attention.
///
/// # Returns
/// How far the runs are apart, and the tolerance of each saved picture.
pub(super) fn measure(
    prepared: &Prepared,
    first: &Ran,
    registry: &Registry,
    bench: &mut Bench,
    line: &Line,
    cancel: &Cancel,
) -> Outcome<(Measured, Vec<f64>)> {
    // Another salt: no result of the first run is used again.
    let salt = format!("{} measured {}", session::salt(&bench.engine), prepared.name);
    let plan = Plan::of(prepared.runnable.clone(), registry, &bench.engine.folders, &salt);
    let threads = Threads::other();
    let second = with_fused_kernels(|| bench.run(&plan, line, cancel))?;
    let (used, prompt) = (tch::get_num_threads(), &prepared.runnable.prompt);
    drop(threads);
    let boundaries = &prepared.boundaries;
    let deviations = compare(&boundaries.of(&first.taken), &boundaries.of(&second.taken), 0.0, prompt);
    if let Some(other) = deviations.iter().find(|deviation| deviation.distance.size.is_infinite()) {
        return Err(Stop::wrong(format!(
            "{}: {}: two runs of it never agree, and no tolerance can say how far they may part; give --tolerance, or choose other nodes (--node)",
            other.place, other.distance.what
        )));
    }
    let key = deviations.iter().max_by(|a, b| a.distance.size.total_cmp(&b.distance.size));
    let largest = largest(&deviations);
    let measured = Measured {
        largest,
        key: key.filter(|_| largest > 0.0).map(|deviation| deviation.key.clone()),
        multiple: MULTIPLE,
        threads: usize::try_from(used).unwrap_or(1),
        attention: "fused".to_owned(),
        parted: largest > PARTED,
    };
    Ok((measured, pictures(first, &second, prepared)))
}

/// One step of 255, or twice what was measured.
fn pictures(first: &Ran, second: &Ran, prepared: &Prepared) -> Vec<f64> {
    let expected: Vec<_> = first
        .saved
        .iter()
        .map(|(node, path)| SavedPicture {
            node: node.clone(),
            name: String::new(),
            path: path.clone(),
            tolerance: PICTURE_STEP,
        })
        .collect();
    let deviations = of_pictures(&expected, &second.saved, &prepared.runnable.prompt);
    let tolerance = |deviation: &Deviation| match deviation.distance.size {
        size if size.is_finite() => (2.0 * size).max(PICTURE_STEP),
        _ => PICTURE_STEP,
    };
    deviations.iter().map(tolerance).collect()
}

/// Another number of threads, until it is dropped.
struct Threads(i32);

impl Threads {
    fn other() -> Self {
        let usual = tch::get_num_threads();
        tch::set_num_threads(if usual > 1 { 1 } else { 2 });
        Self(usual)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        tch::set_num_threads(self.0);
    }
}
