//! The case's folder: made beside its place and renamed when it is complete.

use std::path::{Path, PathBuf};

use anyhow::Context;
use redraft_engine::files;
use redraft_engine::node::Registry;
use serde_json::json;

use super::prepare::Prepared;
use crate::bench::{Bench, Ran};
use crate::case::{
    ASIDE, CASE, CaseFile, MAX_BYTES, Measured, Recorded, Renewal, Surroundings, WORKFLOW, digest_of_prompt, put_json,
    put_pictures, put_saved, put_tensors,
};
use crate::named::{model_digests, named_files};

/// All that was found out of a workflow.
pub(super) struct Recording<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) ran: &'a Ran,
    pub(super) tolerance: f64,
    pub(super) measured: Option<Measured>,
    pub(super) surroundings: Surroundings,
}

/// Writes the case. Of one that may be there, its own files are replaced, and all others stay. `of_picture` says how far each saved picture may
/// be off.
pub(super) fn write(
    recording: &Recording,
    of_picture: &dyn Fn(usize) -> f64,
    registry: &Registry,
    bench: &Bench,
    folder: &Path,
) -> anyhow::Result<()> {
    if folder.is_dir() {
        let renewal = Renewal::of(folder)?;
        fill(recording, of_picture, registry, bench, &renewal.new_files())?;
        return renewal.put(&own_files(folder));
    }
    let around = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs_err::create_dir_all(around)?;
    let aside = tempfile::Builder::new().prefix(ASIDE).tempdir_in(around)?;
    // Temporary folders are private by default.
    let made = aside.path().join("case");
    fs_err::create_dir(&made)?;
    fill(recording, of_picture, registry, bench, &made)?;
    fs_err::rename(&made, folder).context("the case cannot be put there")
}

/// The files of the case that is there.
fn own_files(folder: &Path) -> Vec<PathBuf> {
    let text = files::read(&folder.join(CASE), MAX_BYTES).unwrap_or_default();
    serde_json::from_slice::<CaseFile>(&text).unwrap_or_default().own_files()
}

fn fill(
    recording: &Recording,
    of_picture: &dyn Fn(usize) -> f64,
    registry: &Registry,
    bench: &Bench,
    folder: &Path,
) -> anyhow::Result<()> {
    let Recording { prepared, ran, tolerance, measured, surroundings } = recording;
    let (prompt, folders) = (&prepared.runnable.prompt, &bench.engine.folders);
    let json = prompt.to_json();
    put_json(&folder.join(WORKFLOW), &json)?;
    let expected = prepared.boundaries.of(&ran.taken);
    anyhow::ensure!(
        !expected.tensors.is_empty() || !expected.plain.is_empty() || !ran.saved.is_empty(),
        "nothing that can be compared leaves the chosen nodes; choose others (--node)"
    );
    put_tensors(folder, &expected)?;
    put_pictures(folder, &prepared.pictures)?;
    let named = named_files(prompt, registry, folders);
    // The nodes of which something is expected are targets, so that they are told of also where results are at hand.
    let mut targets = prepared.runnable.targets.clone();
    targets.extend(prepared.boundaries.nodes().filter(|id| !prepared.runnable.targets.contains(id)).cloned());
    let case = CaseFile {
        tolerance: *tolerance,
        measured: measured.clone(),
        recorded: Some(Recorded {
            surroundings: surroundings.clone(),
            seconds: (ran.seconds * 100.0).round() / 100.0,
            prompt: digest_of_prompt(&json),
        }),
        targets,
        nodes: prepared.boundaries.list(prompt),
        models: model_digests(&named, folders),
        pictures: named.iter().filter(|file| file.is_users()).filter_map(|file| file.digest(folders)).collect(),
        held: prepared.pictures.iter().map(|picture| picture.name.clone()).collect(),
        saved: put_saved(folder, &ran.saved, of_picture)?,
        rest: Default::default(),
    };
    put_json(&folder.join(CASE), &json!(case))
}
