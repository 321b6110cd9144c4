use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::io::{Field, Misfit, Value, Widget};
use redraft_engine::node::Run;
use redraft_engine::schema::Kind;

use super::preview_image::save_previews;
use crate::values::Image;

/// Shows two pictures, for a slider between them, as PNG files in the temp folder.
#[derive(Node)]
#[node(category = "image", display = "Compare Images", output, experimental, hidden("prompt", "extra_pnginfo"))]
struct ImageCompare {
    compare_view: CompareView,
    image_a: Option<Image>,
    image_b: Option<Image>,
}

/// The slider, which only the editor has.
struct CompareView;

impl Field for CompareView {
    const OPTIONAL: bool = false;

    fn kind(_: Widget) -> Kind {
        Kind::Widget { ty: "IMAGECOMPARE".to_owned(), default: None }
    }

    fn from_value(_: &Value) -> Result<Self, Misfit> {
        Ok(Self)
    }

    fn from_arg(_: redraft_engine::io::Arg) -> Result<Self, Misfit> {
        Ok(Self)
    }
}

impl Run for ImageCompare {
    type Out = ();

    fn run(self, cx: &mut Cx) -> anyhow::Result<()> {
        let CompareView = self.compare_view;
        for (side, images) in [("a", self.image_a), ("b", self.image_b)] {
            if let Some(images) = images {
                save_previews(cx, &images, &format!("comfy.compare.{side}"), &format!("{side}_images"))?;
            }
        }
        Ok(())
    }
}
