//! The pack's own binary on a workflow with the pack's node.

use std::process::Command;

#[test]
fn a_workflow_with_the_pack_s_node_runs() {
    let base = tempfile::tempdir().unwrap();
    let workflow = concat!(env!("CARGO_MANIFEST_DIR"), "/workflows/posterize.json");
    let run = |command: &str, more: &[&str]| {
        let mut redraft = Command::new(env!("CARGO_BIN_EXE_my-redraft"));
        redraft.arg(command).args(more).current_dir(base.path()).output().unwrap()
    };
    let done = run("run", &[workflow, "--cache", "classic"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let picture = image::open(base.path().join("output/posterized_00001_.png")).unwrap().to_rgb8();
    // 0x336699 is (51, 102, 153): 0.2, 0.4 and 0.6 of the range.
    assert_eq!((picture.dimensions(), picture.get_pixel(0, 0).0), ((32, 16), [0, 127, 127]));

    let told = run("nodes", &["MyPosterize"]).stdout;
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains("my-pack") && told.contains("How many levels a channel keeps."), "{told}");
}
