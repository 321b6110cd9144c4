use redraft_engine::cx::Cx;
use redraft_engine::io::{Emit, List, Socket};
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};

use super::ImageList;
use crate::values::Image;

/// Passes a list of pictures on.
#[derive(Node)]
#[node(category = "dataset/image", display = "Merge Image Lists", experimental)]
struct MergeImageLists {
    images: List<Image>,
}

impl Run for MergeImageLists {
    type Out = ImageList;

    fn run(self, _: &mut Cx) -> anyhow::Result<ImageList> {
        Ok(ImageList { images: self.images })
    }
}

/// Passes a list of texts on.
#[derive(Node)]
#[node(category = "dataset/text", display = "Merge Text Lists", experimental)]
struct MergeTextLists {
    texts: List<String>,
}

#[derive(Outputs)]
struct Merged {
    #[output(name = "texts")]
    texts: Texts,
}

/// A list whose output is declared as a single value, as it is in ComfyUI.
struct Texts(List<String>);

impl Emit for Texts {
    const TYPE: &'static str = <String as Emit>::TYPE;

    fn into_socket(self) -> Socket {
        self.0.into_socket()
    }
}

impl Run for MergeTextLists {
    type Out = Merged;

    fn run(self, _: &mut Cx) -> anyhow::Result<Merged> {
        Ok(Merged { texts: Texts(self.texts) })
    }
}
