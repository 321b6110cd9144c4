#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn names_never_leave_their_folder() {
    for bad in ["../x", "/etc/passwd", "a/../../x", "", "a\0b", "..\\x"] {
        assert_eq!(relative(bad), None, "{bad:?}");
    }
    assert_eq!(relative("sub\\x.png"), Some(PathBuf::from("sub/x.png")));
}

#[cfg(unix)]
#[test]
fn links_in_a_circle_end_and_links_out_of_input_are_not_followed() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let (loras, input) = (dir.path().join("models/loras"), dir.path().join("input"));
    std::fs::create_dir_all(loras.join("sub")).unwrap();
    std::fs::create_dir_all(&input).unwrap();
    for file in
        [loras.join("a.safetensors"), loras.join("sub/b.safetensors"), dir.path().join("c.png"), input.join("d.png")]
    {
        std::fs::write(file, "").unwrap();
    }
    for name in ["one", "two", "three", "sub/up"] {
        symlink(&loras, loras.join(name)).unwrap();
    }
    symlink(dir.path().join("c.png"), loras.join("linked.safetensors")).unwrap();
    symlink(dir.path().join("c.png"), input.join("out.png")).unwrap();
    symlink(input.join("d.png"), input.join("in.png")).unwrap();
    let folders = FolderPaths::below(dir.path());
    assert_eq!(folders.list("loras"), ["a.safetensors", "linked.safetensors", "sub/b.safetensors"]);
    assert!(folders.find("loras", "linked.safetensors").is_some());
    assert_eq!(folders.find("input", "in.png"), Some(input.join("in.png")));
    assert_eq!(folders.find("input", "out.png"), None);
}

#[test]
fn what_was_handed_in_comes_first_and_can_be_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("input/set")).unwrap();
    std::fs::write(dir.path().join("input/set/a.png"), "own").unwrap();
    let mut folders = FolderPaths::below(dir.path());
    folders.hand_in("set/a.png", b"theirs").unwrap();
    assert!(folders.hand_in("set/a.png", b"another's").is_err());
    let content = |path: Option<PathBuf>| std::fs::read(path.unwrap()).unwrap();
    assert_eq!(content(folders.find("input", "set/a.png")), b"theirs");
    assert_eq!(content(folders.find(INPUT_FOLDERS, "set").map(|set| set.join("a.png"))), b"theirs");
    folders.forget_handed_in();
    assert_eq!(content(folders.find("input", "set/a.png")), b"own");
    folders.hand_in("set/a.png", b"another's").unwrap();
}

#[test]
fn what_was_saved_before_is_found_where_saving_goes_elsewhere() {
    let (dir, aside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut folders = FolderPaths::below(dir.path());
    folders.save_in(aside.path().join("output"), aside.path().join("temp"));
    assert_eq!((&folders.output, &folders.temp), (&aside.path().join("output"), &aside.path().join("temp")));
    for (root, file, content) in [
        (dir.path(), "output/a.png", "before"),
        (aside.path(), "output/a.png", "now"),
        (aside.path(), "output/b.png", "now"),
        (dir.path(), "temp/c.png", "before"),
    ] {
        std::fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
        std::fs::write(root.join(file), content).unwrap();
    }
    let content = |name: &str| std::fs::read_to_string(folders.find("input", name).unwrap()).unwrap();
    assert_eq!(content("a.png [output]"), "before");
    assert_eq!(content("b.png [output]"), "now");
    assert_eq!(content("c.png [temp]"), "before");
    assert_eq!(folders.list("output"), ["a.png", "b.png"]);
}

#[test]
fn annotations_choose_the_folder() {
    // With the suffix one character before it goes, normally the space.
    assert_eq!(Annotated::parse("a.png [output]"), Annotated { folder: "output", name: "a.png" });
    assert_eq!(Annotated::parse("sub/a.png"), Annotated { folder: "input", name: "sub/a.png" });
    assert_eq!(Annotated::parse("clip/猫.png [temp]"), Annotated { folder: "temp", name: "clip/猫.png" });
    assert_eq!(Annotated::parse("猫[temp]").name, "");
    assert_eq!(Annotated::parse("[output]").name, "");
    assert_eq!(Annotated::parse("x [other]"), Annotated { folder: "input", name: "x [other]" });
}

/// What a prompt finds by a name without an ending, and which of two folders is searched first, is part of the digest.
#[test]
fn a_kind_is_all_of_its_files_and_the_order_of_its_folders() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    std::fs::create_dir_all(&one).unwrap();
    std::fs::create_dir_all(&two).unwrap();
    std::fs::write(one.join("a.pt"), "a").unwrap();
    std::fs::write(two.join("b.pt"), "b").unwrap();
    let digest = |order: [&Path; 2]| {
        let mut folders = FolderPaths::below(dir.path());
        order.iter().for_each(|folder| folders.add("embeddings", folder.to_path_buf(), false));
        folders.digest_of_kind("embeddings", false)
    };
    let before = digest([&one, &two]);
    assert_eq!(digest([&one, &two]), before);
    assert_ne!(digest([&two, &one]), before);
    std::fs::write(two.join("foo"), "c").unwrap();
    assert_ne!(digest([&one, &two]), before);
}

/// ComfyUI's own copy counts, after those of the user, wherever the models are.
#[test]
fn a_vocabulary_lies_below_the_models_or_in_comfyui() {
    let (base, models) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut folders = FolderPaths::below(base.path());
    folders.set_models(models.path());
    let found = |folders: &FolderPaths| folders.find("llama_tokenizer", "tokenizer.json");
    assert_eq!(found(&folders), None);
    let mut digest = folders.digest_of_kind("llama_tokenizer", false);
    for place in [
        base.path().join("comfy/text_encoders/llama_tokenizer"),
        models.path().join("text_encoders/llama_tokenizer"),
        models.path().join("llama_tokenizer"),
    ] {
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("tokenizer.json"), "{}").unwrap();
        assert_eq!(found(&folders), Some(place.join("tokenizer.json")));
        assert_ne!(folders.digest_of_kind("llama_tokenizer", false), digest);
        digest = folders.digest_of_kind("llama_tokenizer", false);
    }
    let place = base.path().join("comfy/text_encoders/t5_pile_tokenizer");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("tokenizer.model"), "").unwrap();
    assert_eq!(folders.find("t5_pile_tokenizer", "tokenizer.model"), Some(place.join("tokenizer.model")));
}
