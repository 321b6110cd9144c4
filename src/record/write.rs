//! The case's folder: made beside its place and renamed when it is complete.

use std::path::Path;

use anyhow::Context;
use redraft_engine::node::Registry;
use serde_json::json;

use super::prepare::Prepared;
use crate::bench::{Bench, Ran};
use crate::case::{
    CASE, CaseFile, INPUT, Measured, Pictures, Recorded, Surroundings, WORKFLOW, digest_of_prompt, put_json,
    put_tensors,
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

/// Writes the folder, in place of a case that may be there. `of_picture` says how far each saved picture may be off.
pub(super) fn write(
    recording: &Recording,
    of_picture: &dyn Fn(usize) -> f64,
    registry: &Registry,
    bench: &Bench,
    folder: &Path,
) -> anyhow::Result<()> {
    let around = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs_err::create_dir_all(around)?;
    let aside = tempfile::Builder::new().prefix(".redraft-case-").tempdir_in(around)?;
    // Temporary folders are private by default.
    let made = aside.path().join("case");
    fs_err::create_dir(&made)?;
    fill(recording, of_picture, registry, bench, &made)?;
    // An empty folder, or a case that `--force` replaces.
    let before = folder.exists().then(|| aside.path().join("before"));
    if let Some(before) = &before {
        fs_err::rename(folder, before)?;
    }
    let put = fs_err::rename(&made, folder);
    if let (Err(_), Some(before)) = (&put, &before) {
        fs_err::rename(before, folder)?;
    }
    put.context("the case cannot be put there")
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
    let files = Pictures(folder);
    for picture in &prepared.pictures {
        let path = folders.find("input", &picture.name).context("a picture is gone")?;
        files.copy(&path, &Path::new(INPUT).join(&picture.name))?;
    }
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
        saved: files.saved(&ran.saved, of_picture)?,
        rest: Default::default(),
    };
    put_json(&folder.join(CASE), &json!(case))
}
