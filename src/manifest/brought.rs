//! Pictures that came with the workflow, in a request body: a manifest holds them, because no folder does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use redraft_engine::files;
use redraft_engine::folders::FolderPaths;
use serde::{Deserialize, Serialize};

use crate::exit::{Outcome, Stop};
use crate::named::Named;
use crate::out::tell;

/// The largest picture that is kept, in bytes.
const MAX_PICTURE: u64 = 128 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Brought {
    name: String,
    /// The file, in base64.
    content: String,
}

/// Those of the named files that came with the workflow, each once. What cannot be read any more is left out.
pub(super) fn take(named: &[Named], folders: &FolderPaths) -> Vec<Brought> {
    let mut all: Vec<Brought> = Vec::new();
    for path in named.iter().filter_map(|file| file.path(folders)) {
        for file in folders.handed_in_below(&path) {
            let Some(name) = folders.handed_in_name(&file).map(|name| name.display().to_string()) else { continue };
            if all.iter().any(|known| known.name == name) {
                continue;
            }
            match files::read(&file, MAX_PICTURE) {
                Ok(bytes) => all.push(Brought { name, content: STANDARD.encode(bytes) }),
                Err(error) => tell(format!("warning: the picture {name} is left out of the manifest: {error}")),
            }
        }
    }
    all
}

/// Hands them in again.
///
/// # Errors
/// If one is no base64, or has no plain name.
pub(super) fn give_back(brought: &[Brought], folders: &FolderPaths) -> Outcome<()> {
    for Brought { name, content } in brought {
        let no_base64 = |_| {
            Stop::wrong(format!(
                "the content of the picture {name:?} is no base64; take the manifest as it was written"
            ))
        };
        let bytes = STANDARD.decode(content).map_err(no_base64)?;
        folders.hand_in(name, &bytes).map_err(|error| Stop::wrong(format!("{error:#}")))?;
    }
    Ok(())
}
