//! Another crate adds a sampler, a schedule and a kind of models: they stand behind ComfyUI's in the nodes' combos, and run.
#![allow(clippy::unwrap_used)]

use redraft_engine::folder_kinds::{FOLDER_KIND_TABLES, FolderKind};
use redraft_engine::node::Registry;
use redraft_engine::schema::{Kind, Options, Schemas};
use redraft_nodes::diffusion::parameterisation::Parameterisation;
use redraft_nodes::sampling::samplers::{SAMPLER_TABLES, SAMPLERS, Sampler, plain};
use redraft_nodes::sampling::schedules::{SCHEDULE_TABLES, SCHEDULES, Schedule};

redraft_engine::add_rows!(SAMPLER_TABLES: Sampler = [plain("halves", |run, x| Ok(run.steps().fold(x, |x, _| x * 0.5)))]);

redraft_engine::add_rows!(SCHEDULE_TABLES: Schedule = [Schedule {
    name: "countdown",
    sigmas: |_, steps| (0..=steps).rev().map(|level| level as f32).collect(),
}]);

redraft_engine::add_rows!(FOLDER_KIND_TABLES: FolderKind = [FolderKind::new("motion_modules", &["motion_modules"])]);

#[test]
fn nodes_offer_the_rows_of_other_crates_last() {
    let registry = Registry::linked().unwrap();
    let choices = |input: &str| match &registry.schema("KSampler").unwrap().input(input).unwrap().kind {
        Kind::Combo { options: Options::Fixed(choices), .. } => choices.clone(),
        other => panic!("{other:?}"),
    };
    let mut samplers: Vec<_> = SAMPLERS.iter().map(|sampler| sampler.name).collect();
    samplers.push("halves");
    assert_eq!(choices("sampler_name"), samplers);
    let mut schedules: Vec<_> = SCHEDULES.iter().map(|schedule| schedule.name).collect();
    schedules.push("countdown");
    assert_eq!(choices("scheduler"), schedules);
}

#[test]
fn a_row_of_another_crate_is_found_by_its_name() {
    let sampling = Parameterisation::sd15();
    assert_eq!(Schedule::named("countdown").unwrap().levels(&sampling, 3).unwrap().0, [3.0, 2.0, 1.0, 0.0]);
    assert_eq!(Sampler::named("halves").unwrap().name, "halves");
    assert!(Sampler::named("thirds").unwrap_err().to_string().ends_with(", halves"));
}
