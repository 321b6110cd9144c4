#![allow(clippy::unwrap_used)]
use super::*;

fn noon() -> NaiveDateTime {
    chrono::NaiveDate::from_ymd_opt(2026, 3, 7).unwrap().and_hms_opt(4, 5, 6).unwrap()
}

fn locate(prefix: &str, output: &Path) -> Result<SaveLocation> {
    save_location(prefix, output, 640, 480, noon())
}

#[test]
fn variables_are_replaced() {
    let output = tempfile::tempdir().unwrap();
    let location =
        locate("%year%-%month%-%day%/%hour%%minute%%second%_%width%x%height%_%batch_num%_%odd%", output.path())
            .unwrap();
    assert_eq!(location.subfolder, "2026-03-07");
    assert_eq!(location.folder, output.path().join("2026-03-07"));
    assert!(location.folder.is_dir());
    assert_eq!(location.file_name(3, 12), "040506_640x480_3_%odd%_00012_.png");
    assert_eq!(location.counter, 1);
}

#[test]
fn counter_follows_the_highest_number_of_that_name() {
    let output = tempfile::tempdir().unwrap();
    for file in ["a_00007_.png", "a_00003_.png", "A_00050_.png", "ab_00090_.png", "a_b_00080_.png", "a_x_.png", "a.png"]
    {
        std::fs::write(output.path().join(file), "").unwrap();
    }
    assert_eq!(locate("a", output.path()).unwrap().counter, if cfg!(windows) { 51 } else { 8 });
    assert_eq!(locate("a_b", output.path()).unwrap().counter, 81);
    assert_eq!(locate("new", output.path()).unwrap().counter, 1);
    std::fs::write(output.path().join("a_123456_x.txt"), "").unwrap();
    assert_eq!(locate("a", output.path()).unwrap().counter, 123457);
    std::fs::write(output.path().join("b_4_00009_.png"), "").unwrap();
    assert_eq!(locate("b_%batch_num%", output.path()).unwrap().counter, 10);
}

#[test]
fn unicode_dots_and_spaces_are_names() {
    let output = tempfile::tempdir().unwrap();
    for (prefix, subfolder, file) in [
        ("猫/épée ✂", "猫", "épée ✂_00001_.png"),
        ("a/../b/./c", "b", "c_00001_.png"),
        ("a//b/", "a", "b_00001_.png"),
        ("v1.5..x", "", "v1.5..x_00001_.png"),
        ("", "", "._00001_.png"),
    ] {
        let location = locate(prefix, output.path()).unwrap();
        assert_eq!((location.subfolder.as_str(), location.file_name(0, location.counter).as_str()), (subfolder, file));
    }
}

#[test]
fn no_prefix_leaves_the_output_folder() {
    let parent = tempfile::tempdir().unwrap();
    let output = parent.path().join("output");
    for prefix in ["../x", "..", "a/../../x", "/etc/x", "C:\\x", "c:/x", "a\0b"] {
        let error = locate(prefix, &output).unwrap_err().to_string();
        assert!(
            error.starts_with("**** ERROR: Saving image outside the output folder is not allowed."),
            "{prefix:?}: {error}"
        );
    }
    assert!(!parent.path().join("x").exists());
}

#[cfg(unix)]
#[test]
fn no_link_leads_out() {
    use std::os::unix::fs::symlink;
    let (output, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    symlink(elsewhere.path(), output.path().join("link")).unwrap();
    symlink(elsewhere.path().join("missing"), output.path().join("dangling")).unwrap();
    for prefix in ["link/x", "link/new/x", "dangling/x"] {
        let error = locate(prefix, output.path()).unwrap_err().to_string();
        assert!(error.starts_with("**** ERROR: Saving image outside"), "{error}");
    }
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[cfg(not(windows))]
#[test]
fn fault_15_a_letter_before_a_colon_is_a_name() {
    let dir = tempfile::tempdir().unwrap();
    let now = NaiveDateTime::default();
    for (prefix, name, subfolder) in [("a: cat", "a: cat", ""), ("a:b/c:d", "c:d", "a:b")] {
        let place = save_location(prefix, dir.path(), 8, 8, now).unwrap();
        assert_eq!((place.name.as_str(), place.subfolder.as_str()), (name, subfolder));
    }
}
