//! Sources: pictures, masks and numbers out of nothing.

use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};
use redraft_nodes::values::{Image, Mask};
use tch::{Device, Kind, Tensor};

#[derive(Combo)]
enum Content {
    #[combo(name = "WHITE")]
    White,
    #[combo(name = "BLACK")]
    Black,
    #[combo(name = "NOISE")]
    Noise,
}

/// A picture that is white, black, or noise.
#[derive(Node)]
#[node(category = "Testing/Stub Nodes", display = "Stub Image")]
struct StubImage {
    content: Content,
    #[input(default = 512, min = 1, max = 1_073_741_824)]
    height: i64,
    #[input(default = 512, min = 1, max = 68_719_476_736_i64)]
    width: i64,
    #[input(default = 1, min = 1, max = 1_073_741_824)]
    batch_size: i64,
}

impl Run for StubImage {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let shape = [self.batch_size, self.height, self.width, 3];
        let float = (Kind::Float, Device::Cpu);
        Ok(Image(match self.content {
            Content::White => Tensor::ones(shape, float),
            Content::Black => Tensor::zeros(shape, float),
            Content::Noise => Tensor::rand(shape, float),
        }))
    }
}

/// A picture of one value.
#[derive(Node)]
#[node(category = "Testing/Stub Nodes", display = "Stub Constant Image")]
struct StubConstantImage {
    #[input(default = 0.5, min = 0.0, max = 1.0, step = 0.01)]
    value: f64,
    #[input(default = 512, min = 1, max = 1_073_741_824)]
    height: i64,
    #[input(default = 512, min = 1, max = 68_719_476_736_i64)]
    width: i64,
    #[input(default = 1, min = 1, max = 1_073_741_824)]
    batch_size: i64,
}

impl Run for StubConstantImage {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let shape = [self.batch_size, self.height, self.width, 3];
        Ok(Image(Tensor::full(shape, self.value, (Kind::Float, Device::Cpu))))
    }
}

/// A mask of one value.
#[derive(Node)]
#[node(category = "Testing/Stub Nodes", display = "Stub Mask")]
struct StubMask {
    #[input(default = 0.5, min = 0.0, max = 1.0, step = 0.01)]
    value: f64,
    #[input(default = 512, min = 1, max = 1_073_741_824)]
    height: i64,
    #[input(default = 512, min = 1, max = 68_719_476_736_i64)]
    width: i64,
    #[input(default = 1, min = 1, max = 1_073_741_824)]
    batch_size: i64,
}

impl Run for StubMask {
    type Out = Mask;

    fn run(self, _: &mut Cx) -> anyhow::Result<Mask> {
        let shape = [self.batch_size, self.height, self.width];
        Ok(Mask(Tensor::full(shape, self.value, (Kind::Float, Device::Cpu))))
    }
}

/// A whole number.
#[derive(Node)]
#[node(category = "Testing/Stub Nodes", display = "Stub Int")]
struct StubInt {
    #[input(default = 0, min = -0xffff_ffff_i64, max = 0xffff_ffff_i64)]
    value: i64,
}

impl Run for StubInt {
    type Out = i64;

    fn run(self, _: &mut Cx) -> anyhow::Result<i64> {
        Ok(self.value)
    }
}

/// A number.
#[derive(Node)]
#[node(category = "Testing/Stub Nodes", display = "Stub Float")]
struct StubFloat {
    #[input(default = 0.0, min = -1.0e38, max = 1.0e38, step = 0.01)]
    value: f64,
}

impl Run for StubFloat {
    type Out = f64;

    fn run(self, _: &mut Cx) -> anyhow::Result<f64> {
        Ok(self.value)
    }
}
