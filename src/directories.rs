//! From options to folders: the base directory, its parts, and ComfyUI's extra_model_paths.yaml.

use std::path::{Path, PathBuf};

use anyhow::Context;
use redraft_engine::aside::{self, Aside};
use redraft_engine::files;
use redraft_engine::folders::FolderPaths;

use crate::args::Directories;
use crate::extra_paths::{self, ExtraPath};
use crate::out::tell;

/// The longest file of extra model paths that is read, in bytes.
const MAX_YAML: u64 = 16 << 20;

/// The folders that the options name.
pub(crate) fn folders(directories: &Directories) -> anyhow::Result<FolderPaths> {
    let base = directories.base_directory.clone().unwrap_or_else(|| PathBuf::from("."));
    if let Some(base) = &directories.base_directory {
        anyhow::ensure!(
            base.is_dir(),
            "--base-directory: there is no folder {}; name one that is there",
            base.display()
        );
        if let Some(better) = better_base(base) {
            tell(format!(
                "warning: --base-directory: {} holds no models, input or output; did you mean {}?",
                base.display(),
                better.display()
            ));
        }
    }
    let mut folders = FolderPaths::below(&base);
    if let Some(models) = &directories.models_directory {
        folders.set_models(models);
    }
    let own = [&directories.input_directory, &directories.output_directory, &directories.temp_directory];
    for (own, place) in own.into_iter().zip([&mut folders.input, &mut folders.output, &mut folders.temp]) {
        if let Some(own) = own {
            place.clone_from(own);
        }
    }
    // ComfyUI reads a file of this name beside it without being told.
    let usual = base.join("extra_model_paths.yaml");
    // A pipe or a device of that name is told of, not left out.
    let usual = usual.symlink_metadata().is_ok().then_some(usual);
    for file in usual.iter().chain(&directories.extra_model_paths_config) {
        let problem = || format!("{}: cannot be used as extra model paths; see ComfyUI's example", file.display());
        add_extra(&mut folders, file).with_context(problem)?;
    }
    Ok(folders)
}

/// The folder that is likely meant where a base directory holds nothing of ComfyUI's layout: the one around it, or one in it.
fn better_base(base: &Path) -> Option<PathBuf> {
    let laid_out = |folder: &Path| ["models", "input", "output"].iter().any(|name| folder.join(name).is_dir());
    if laid_out(base) {
        return None;
    }
    let base = std::fs::canonicalize(base).ok()?;
    let around = base.parent().filter(|around| laid_out(around)).map(Path::to_owned);
    let inside = || {
        let entries = std::fs::read_dir(&base).ok()?.flatten().take(1000);
        entries.map(|entry| entry.path()).find(|path| path.is_dir() && laid_out(path))
    };
    around.or_else(inside)
}

/// Makes sure that a file can be written, before work is done for it: its folder is there and takes files, and nothing but a regular file has
/// its name.
pub(crate) fn require_writable(option: &str, file: Option<&Path>) -> anyhow::Result<()> {
    let Some(file) = file else { return Ok(()) };
    let parent = file.parent().filter(|_| file.file_name().is_some());
    let parent = parent.with_context(|| format!("{option}: '{}' is no name of a file; give one", file.display()))?;
    let there = parent.as_os_str().is_empty() || parent.is_dir();
    anyhow::ensure!(there, "{option}: there is no folder {}; make it first", parent.display());
    Aside::of(file).map(drop).with_context(|| format!("{option}: {} cannot be written", file.display()))
}

/// Makes sure that a file which is to be written is none of those that the command reads.
pub(crate) fn require_no_input<'a>(
    option: &str,
    file: Option<&Path>,
    mut inputs: impl Iterator<Item = &'a Path>,
) -> anyhow::Result<()> {
    let Some(file) = file else { return Ok(()) };
    let read = inputs.find(|input| is_same(file, input));
    anyhow::ensure!(read.is_none(), "{option}: {} is read by this command; name another file", file.display());
    Ok(())
}

/// Whether two paths lead to one file that is there.
fn is_same(a: &Path, b: &Path) -> bool {
    let [of_a, of_b] = [a, b].map(std::fs::metadata);
    #[cfg(unix)]
    let same = {
        use std::os::unix::fs::MetadataExt;
        of_a.ok().zip(of_b.ok()).is_some_and(|(a, b)| (a.dev(), a.ino()) == (b.dev(), b.ino()))
    };
    #[cfg(not(unix))]
    let same = of_a.is_ok() && of_b.is_ok() && a.canonicalize().ok() == b.canonicalize().ok();
    same
}

/// Makes sure that a folder takes new files.
pub(crate) fn require_takes_files(option: &str, folder: &Path) -> anyhow::Result<()> {
    aside::takes_files(folder).with_context(|| format!("{option}: {} cannot be written", folder.display()))
}

fn add_extra(folders: &mut FolderPaths, file: &Path) -> anyhow::Result<()> {
    let beside = std::path::absolute(file)?.parent().map(Path::to_owned).unwrap_or_default();
    for ExtraPath { kind, path, first } in extra_paths::read(&files::read(file, MAX_YAML)?, &beside)? {
        folders.add(&kind, path, first);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use redraft_engine::schema::Folders;

    #[test]
    fn extra_model_paths_are_read_as_comfyui_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let stranger = dir.path().join("webui/models/Stable-diffusion");
        fs_err::create_dir_all(&stranger).unwrap();
        fs_err::write(stranger.join("a.safetensors"), "").unwrap();
        let yaml = dir.path().join("extra.yaml");
        let text = "a111:\n  base_path: webui/\n  is_default: true\n  checkpoints: |\n    models/Stable-diffusion\n    other\nnone:\n";
        fs_err::write(&yaml, text).unwrap();
        let directories = Directories { extra_model_paths_config: vec![yaml.clone()], ..Directories::default() };
        let found = folders(&directories).unwrap();
        assert_eq!(found.directories("checkpoints")[1], stranger);
        assert_eq!(found.list("checkpoints"), ["a.safetensors"]);

        fs_err::write(&yaml, "a:\n  checkpoints: [1]\n").unwrap();
        let error = format!("{:#}", folders(&directories).err().unwrap());
        assert!(error.contains("a.checkpoints is no path; write one path per line"), "{error}");
    }

    /// Any bytes are folders or an error.
    #[test]
    fn mutated_files_of_paths_are_no_panic() {
        let dir = tempfile::tempdir().unwrap();
        let yaml = dir.path().join("extra.yaml");
        let seed = b"a111: &x\n  base_path: ~/webui/\n  is_default: true\n  checkpoints: |\n    models\n    $X/${Y}\nb: *x\nc: [1, {d: !t e}]\n";
        let directories = Directories { extra_model_paths_config: vec![yaml.clone()], ..Directories::default() };
        let mut state = 1_u64;
        let mut below = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % bound
        };
        for _ in 0..2000 {
            let mut bytes = seed.to_vec();
            for _ in 0..1 + below(4) {
                let at = below(bytes.len());
                match below(3) {
                    0 => bytes[at] = below(256) as u8,
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, b"&*!|>-:{}[]$~\n\t\0"[below(16)]),
                }
            }
            fs_err::write(&yaml, &bytes).unwrap();
            let _ = folders(&directories);
        }
        // Ten aliases of ten, ten times: a few bytes that stand for billions.
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..10 {
            let from = n - 1;
            bomb += &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{from}"); 10].join(", "));
        }
        fs_err::write(&yaml, bomb).unwrap();
        assert!(folders(&directories).is_err());
    }
}
