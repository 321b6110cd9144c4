use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_nodes::values::Image;

/// Reduces each channel of a picture to a few equally spaced levels, the darkest 0 and the brightest 1.
#[derive(Node)]
#[node(class = "MyPosterize", category = "my pack", display = "Posterize")]
struct Posterize {
    image: Image,
    /// How many levels a channel keeps.
    #[input(default = 4, min = 2, max = 256)]
    levels: i64,
}

impl Run for Posterize {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        // The engine keeps `levels` within its range, for values over links, too.
        let steps = (self.levels - 1) as f64;
        Ok(Image((self.image.0 * steps).round() / steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_keep_as_many_levels() -> anyhow::Result<()> {
        let image = Image(tch::Tensor::from_slice(&[0.0_f32, 0.2, 0.3, 0.6, 0.7, 1.0]).reshape([1, 1, 2, 3]));
        let found = Cx::for_test().run(Posterize { image, levels: 3 })?.0;
        let found = Vec::<f32>::try_from(found.flatten(0, -1))?;
        assert_eq!(found, [0.0, 0.0, 0.5, 0.5, 0.5, 1.0]);
        Ok(())
    }
}
