use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};
use tch::{Kind, Tensor};

use crate::ops::masks::batched;
use crate::values::Mask;

/// Pastes one mask on another at a position, and combines the two there.
#[derive(Node)]
#[node(category = "mask")]
struct MaskComposite {
    destination: Mask,
    source: Mask,
    #[input(default = 0, min = 0, max = 16384, step = 1)]
    x: i64,
    #[input(default = 0, min = 0, max = 16384, step = 1)]
    y: i64,
    /// How they are combined. `and`, `or` and `xor` round both to 0 and 1 first.
    operation: Operation,
}

#[derive(Combo)]
enum Operation {
    Multiply,
    Add,
    Subtract,
    And,
    Or,
    Xor,
}

impl Operation {
    fn of(self, under: &Tensor, over: &Tensor) -> Tensor {
        let bits = |mask: &Tensor| mask.round().to_kind(Kind::Bool);
        match self {
            Operation::Multiply => under * over,
            Operation::Add => under + over,
            Operation::Subtract => under - over,
            Operation::And => bits(under).logical_and(&bits(over)).to_kind(Kind::Float),
            Operation::Or => bits(under).logical_or(&bits(over)).to_kind(Kind::Float),
            Operation::Xor => bits(under).logical_xor(&bits(over)).to_kind(Kind::Float),
        }
    }
}

impl Run for MaskComposite {
    type Out = Mask;

    fn run(self, _: &mut Cx) -> anyhow::Result<Mask> {
        let output = batched(&self.destination.0)?.copy();
        let source = batched(&self.source.0)?;
        let (_, rows, columns) = source.size3()?;
        let mut place = output.slice(1, self.y, self.y + rows, 1).slice(2, self.x, self.x + columns, 1);
        let (_, rows, columns) = place.size3()?;
        // In place, but on the copy.
        place.copy_(&self.operation.of(&place, &source.narrow(1, 0, rows).narrow(2, 0, columns)));
        Ok(Mask(output.clamp(0.0, 1.0)))
    }
}
