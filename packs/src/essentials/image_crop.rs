use anyhow::{Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node, Outputs};
use redraft_nodes::ops::resize::picture_size;
use redraft_nodes::values::Image;

/// Cuts a part out of pictures: at a place, moved by a number of pixels. What lies outside of the pictures is left out.
#[derive(Node)]
#[node(class = "ImageCrop+", category = "essentials/image manipulation", display = "🔧 Image Crop")]
struct ImageCrop {
    image: Image,
    #[input(default = 256, min = 0, max = 16384, step = 8)]
    width: i64,
    #[input(default = 256, min = 0, max = 16384, step = 8)]
    height: i64,
    position: Position,
    #[input(default = 0, min = -99_999, step = 1)]
    x_offset: i64,
    #[input(default = 0, min = -99_999, step = 1)]
    y_offset: i64,
}

#[derive(Combo, Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    #[combo(name = "top-left")]
    TopLeft,
    #[combo(name = "top-center")]
    Top,
    #[combo(name = "top-right")]
    TopRight,
    #[combo(name = "right-center")]
    Right,
    #[combo(name = "bottom-right")]
    BottomRight,
    #[combo(name = "bottom-center")]
    Bottom,
    #[combo(name = "bottom-left")]
    BottomLeft,
    #[combo(name = "left-center")]
    Left,
    Center,
}

#[derive(Outputs)]
struct Cut {
    #[output(name = "IMAGE")]
    image: Image,
    /// The part's first column, which may lie outside.
    #[output(name = "x")]
    x: i64,
    #[output(name = "y")]
    y: i64,
}

impl Position {
    /// Where a part that leaves `columns` and `rows` of the picture begins.
    fn place(self, columns: i64, rows: i64) -> (i64, i64) {
        let middle = |free: i64| (free as f64 / 2.0).round_ties_even() as i64;
        let x = match self {
            Self::TopLeft | Self::Left | Self::BottomLeft => 0,
            Self::TopRight | Self::Right | Self::BottomRight => columns,
            Self::Top | Self::Bottom | Self::Center => middle(columns),
        };
        let y = match self {
            Self::TopLeft | Self::Top | Self::TopRight => 0,
            Self::BottomLeft | Self::Bottom | Self::BottomRight => rows,
            Self::Left | Self::Right | Self::Center => middle(rows),
        };
        (x, y)
    }
}

impl Run for ImageCrop {
    type Out = Cut;

    fn run(self, _: &mut Cx) -> Result<Cut> {
        let (columns, rows) = picture_size(&self.image.0)?;
        let (width, height) = (self.width.min(columns), self.height.min(rows));
        let (x, y) = self.position.place(columns - width, rows - height);
        let (x, y) = (x.saturating_add(self.x_offset), y.saturating_add(self.y_offset));
        let (right, bottom) = (x.saturating_add(width).min(columns), y.saturating_add(height).min(rows));
        let (x, y) = (x.max(0), y.max(0));
        ensure!(
            x < right && y < bottom,
            "the part of {width} × {height} pixels has nothing of the picture of {columns} × {rows}: set other offsets or a larger size"
        );
        let image = self.image.0.narrow(2, x, right - x).narrow(1, y, bottom - y);
        Ok(Cut { image: Image(image), x, y })
    }
}
