use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Tensor;

use crate::ops::masks::batched;
use crate::values::Mask;

/// Fades a mask out towards its edges.
///
/// At the right and bottom edges ComfyUI counts from the first column or row of the fade instead of from the last one,
/// and so does this.
#[derive(Node)]
#[node(category = "mask")]
struct FeatherMask {
    mask: Mask,
    /// The width of the fade at the left edge in pixels.
    #[input(default = 0, min = 0, max = 16384, step = 1, beyond = Both)]
    left: i64,
    #[input(default = 0, min = 0, max = 16384, step = 1, beyond = Both)]
    top: i64,
    #[input(default = 0, min = 0, max = 16384, step = 1, beyond = Both)]
    right: i64,
    #[input(default = 0, min = 0, max = 16384, step = 1, beyond = Both)]
    bottom: i64,
}

impl Run for FeatherMask {
    type Out = Mask;

    fn run(self, _: &mut Cx) -> anyhow::Result<Mask> {
        let mask = batched(&self.mask.0)?;
        let (_, height, width) = mask.size3()?;
        let columns = |factors: Vec<f32>| Tensor::from_slice(&factors);
        let rows = |factors: Vec<f32>| Tensor::from_slice(&factors).unsqueeze(1);
        let faded = mask * columns(rise(self.left, width as usize)) * columns(fall(self.right, width as usize));
        Ok(Mask(faded * rows(rise(self.top, height as usize)) * rows(fall(self.bottom, height as usize))))
    }
}

/// `count` factors, of which the first `reach` rise to 1; none if it is negative.
fn rise(reach: i64, count: usize) -> Vec<f32> {
    let reach = usize::try_from(reach).unwrap_or(0).min(count);
    (0..count).map(|place| if place < reach { ((place + 1) as f64 / reach as f64) as f32 } else { 1.0 }).collect()
}

/// [`rise`] counted from the other end, but with the lowest factor at the first place.
fn fall(reach: i64, count: usize) -> Vec<f32> {
    let mut factors = rise(reach, count);
    if let Some(rest) = factors.get_mut(1..) {
        rest.reverse();
    }
    factors
}
