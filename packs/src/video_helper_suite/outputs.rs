//! Nodes for the files that another node saved.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node, Outputs};

use super::wires::Filenames;

/// Gives the name of one of the files that were saved.
#[derive(Node)]
#[node(class = "VHS_SelectFilename", category = "Video Helper Suite 🎥🅥🅗🅢", display = "Select Filename 🎥🅥🅗🅢")]
struct SelectFilename {
    filenames: Filenames,
    /// From 0 on; -1 is the last.
    #[input(default = -1, step = 1, min = -1)]
    index: i64,
}

#[derive(Outputs)]
struct Name {
    #[output(name = "Filename")]
    name: String,
}

impl Run for SelectFilename {
    type Out = Name;

    fn run(self, _: &mut Cx) -> Result<Name> {
        let files = &self.filenames.0;
        let at = usize::try_from(self.index).ok().or_else(|| files.len().checked_sub(1));
        let file = at.and_then(|at| files.get(at)).with_context(|| {
            format!("input 'index' is {}, and there are {} files; set a lower one", self.index, files.len())
        })?;
        Ok(Name { name: file.to_string_lossy().into_owned() })
    }
}

/// Deletes files that were saved and that another one replaces: the video of which there is one with sound, and the first frame.
#[derive(Node)]
#[node(class = "VHS_PruneOutputs", category = "Video Helper Suite 🎥🅥🅗🅢", display = "Prune Outputs 🎥🅥🅗🅢", output)]
struct PruneOutputs {
    filenames: Filenames,
    options: Pruned,
}

#[derive(Combo, Clone, Copy, PartialEq)]
enum Pruned {
    /// All but the first and the last.
    #[combo(name = "Intermediate")]
    Intermediate,
    /// The first, too, which is the picture with the workflow.
    #[combo(name = "Intermediate and Utility")]
    Utility,
}

impl Run for PruneOutputs {
    type Out = ();

    fn run(self, cx: &mut Cx) -> Result<()> {
        let files = &self.filenames.0;
        let Some((first, [between @ .., _])) = files.split_first() else { return Ok(()) };
        let utility = (self.options == Pruned::Utility).then_some(first);
        for file in between.iter().chain(utility) {
            ensure!(
                [&cx.folders.output, &cx.folders.temp].into_iter().any(|folder| lies_in(file, folder)),
                "'{}' lies in neither the output nor the temp folder, and is not deleted",
                file.display()
            );
            if file.is_file() {
                std::fs::remove_file(file)
                    .with_context(|| format!("cannot delete {}: check the folder", file.display()))?;
                cx.ui("text", format!("deleted {}", file.display()));
            }
        }
        Ok(())
    }
}

fn lies_in(file: &Path, folder: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    matches!((file.parent().and_then(real), real(folder)), (Some(file), Some(folder)) if file.starts_with(&folder))
}
