//! Previews as files: one picture a step, never half of one.

use std::io::Write;
use std::path::PathBuf;

use redraft_engine::aside::Aside;
use redraft_engine::prompt::NodeId;

/// A folder that takes previews.
pub(crate) struct Previews {
    folder: PathBuf,
}

impl Previews {
    /// Makes the folder if it is not there.
    pub(crate) fn into_folder(folder: PathBuf) -> anyhow::Result<Self> {
        fs_err::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// Writes the picture of a node after `done` steps, aside and then renamed.
    pub(crate) fn write(&self, node: &NodeId, done: usize, image: &[u8]) -> anyhow::Result<()> {
        let mut aside = Aside::of(&self.folder.join(file_name(node.as_str(), done)))?.passing();
        aside.write_all(image)?;
        Ok(aside.stand_over()?)
    }
}

/// A name that stays in the folder, whatever the node is called.
fn file_name(node: &str, done: usize) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let node: String = node.chars().map(plain).take(100).collect();
    format!("{node}-{done:04}.jpg")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_the_folder() {
        assert_eq!(file_name("3", 12), "3-0012.jpg");
        assert_eq!(file_name("../a:b/c", 1), "___a_b_c-0001.jpg");
    }
}
