//! Bipartite soft matching of tokens (Bolya et al. 2022, arXiv:2210.09461; for diffusion 2023, arXiv:2303.17604).

use tch::{Kind, Tensor};

/// The tokens that are merged, and those that they are merged into. One token of each 2×2 square is a destination.
#[derive(Debug)]
pub struct Merge {
    tokens: i64,
    /// The indices of the destinations, and of all other tokens.
    takers: Tensor,
    others: Tensor,
    /// Of the other tokens, for each image: those that stay, those that are merged, and the destinations of the latter.
    staying: Tensor,
    taken: Tensor,
    by: Tensor,
}

impl Merge {
    /// Chooses `count` tokens of B×(height·width)×C to be merged, those most similar to a destination. `draw` gives
    /// random integers below a limit, in a shape.
    pub fn of(
        metric: &Tensor,
        (height, width): (i64, i64),
        count: i64,
        draw: &mut dyn FnMut(i64, &[i64]) -> Tensor,
    ) -> Merge {
        let tokens = metric.size()[1];
        let (rows, columns) = (height / 2, width / 2);
        let order = squares(height, width, &draw(4, &[rows, columns, 1]).to_device(metric.device()));
        let takers = order.narrow(0, 0, rows * columns);
        let others = order.narrow(0, rows * columns, tokens - rows * columns);
        let metric = metric / metric.norm_scalaropt_dim(2.0, [-1i64], true);
        let part = |places: &Tensor| metric.index_select(1, places);
        let scores = part(&others).matmul(&part(&takers).transpose(-1, -2));
        let (best, whom) = scores.max_dim(-1, false);
        let order = best.argsort(-1, true);
        let count = count.min(others.size()[0]);
        let taken = order.narrow(1, 0, count);
        let staying = order.narrow(1, count, order.size()[1] - count);
        let by = whom.gather(-1, &taken, false);
        Merge { tokens, takers, others, staying, taken, by }
    }

    /// The tokens that stay, then the destinations, each as the mean of itself and the tokens merged into it.
    pub fn merge(&self, x: &Tensor) -> Tensor {
        let others = x.index_select(1, &self.others);
        let wide = |places: &Tensor| places.unsqueeze(-1).expand([-1, -1, x.size()[2]], false);
        let stay = others.gather(1, &wide(&self.staying), false);
        let go = others.gather(1, &wide(&self.taken), false);
        let by = wide(&self.by);
        let takers = x.index_select(1, &self.takers);
        let counts = takers.ones_like().scatter_add(1, &by, &go.ones_like());
        Tensor::cat(&[stay, takers.scatter_add(1, &by, &go) / counts], 1)
    }

    /// All tokens in their old order. Merged tokens get the value of their destination.
    pub fn unmerge(&self, x: &Tensor) -> Tensor {
        let (batch, width, staying) = (x.size()[0], x.size()[2], self.staying.size()[1]);
        let wide = |places: &Tensor| places.unsqueeze(-1).expand([-1, -1, width], false);
        let takers = x.narrow(1, staying, x.size()[1] - staying);
        let given = takers.gather(1, &wide(&self.by), false);
        // In place: the tensors are new.
        let zeros = |count: i64| Tensor::zeros([batch, count, width], (x.kind(), x.device()));
        let others = zeros(self.others.size()[0]);
        let others = others.scatter(1, &wide(&self.staying), &x.narrow(1, 0, staying));
        let others = others.scatter(1, &wide(&self.taken), &given);
        let all = zeros(self.tokens).index_copy(1, &self.takers, &takers);
        all.index_copy(1, &self.others, &others)
    }
}

/// The indices of all tokens: first the one drawn in each whole 2×2 square, then all others.
fn squares(height: i64, width: i64, drawn: &Tensor) -> Tensor {
    let (rows, columns) = (height / 2, width / 2);
    let options = (Kind::Int64, drawn.device());
    let marks = Tensor::zeros([rows, columns, 4], options).scatter(2, drawn, &(drawn.zeros_like() - 1));
    let marks = marks.view([rows, columns, 2, 2]).transpose(1, 2).reshape([rows * 2, columns * 2]);
    let all = Tensor::zeros([height, width], options);
    // In place: the marks are new.
    let mut whole_squares = all.narrow(0, 0, rows * 2).narrow(1, 0, columns * 2);
    whole_squares.copy_(&marks);
    // The order among equal marks is ComfyUI's only with the same, unstable sort.
    all.reshape([1, -1, 1]).argsort(1, false).view(-1)
}
