use anyhow::{Result, bail, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::io::{List, Value, Wildcard};
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs, memory};
use redraft_nodes::values::{Audio, Image, Latent, Mask};
use tch::Tensor;

/// Joins the values of a list to one: pictures, masks, latents and sound behind one another, texts too; of numbers the sum.
#[derive(Node)]
#[node(class = "VHS_Unbatch", category = "Video Helper Suite 🎥🅥🅗🅢", display = "Unbatch 🎥🅥🅗🅢", validates_types)]
struct Unbatch {
    batched: List<Wildcard>,
}

#[derive(Outputs)]
struct Joined {
    #[output(name = "unbatched")]
    joined: Wildcard,
}

impl Run for Unbatch {
    type Out = Joined;

    fn run(self, _: &mut Cx) -> Result<Joined> {
        let values: Vec<Value> = self.batched.0.into_iter().map(|value| value.0).collect();
        let Some(first) = values.first() else { bail!("the list is empty; connect something that gives values") };
        let joined = if let Some(images) = all::<Image>(&values) {
            Value::wire(Image(joined(images.iter().map(|image| &image.0))?))
        } else if let Some(masks) = all::<Mask>(&values) {
            Value::wire(Mask(joined(masks.iter().map(|mask| &mask.0))?))
        } else if let Some(latents) = all::<Latent>(&values) {
            let samples = joined(latents.iter().map(|latent| &latent.samples))?;
            let first = latents[0].with_samples(samples);
            Value::wire(Latent { batch_index: None, ..first })
        } else if let Some(sounds) = all::<Audio>(&values) {
            let waveform = joined(sounds.iter().map(|sound| &sound.waveform))?;
            Value::wire(Audio { waveform, sample_rate: sounds[0].sample_rate })
        } else if let Some(texts) = all::<String>(&values) {
            memory::ask_text(texts.iter().map(|text| text.len()).sum())?;
            Value::new("STRING", texts.into_iter().map(String::as_str).collect::<String>())
        } else if let Some(numbers) = all::<i128>(&values) {
            let sum = numbers.into_iter().try_fold(0i128, |sum, number| sum.checked_add(*number));
            let Some(sum) = sum else { bail!("the sum of the numbers is too large; connect smaller ones") };
            Value::new("INT", sum)
        } else if let Some(numbers) = all::<f64>(&values) {
            Value::new("FLOAT", numbers.into_iter().sum::<f64>())
        } else if values.len() == 1 {
            first.clone()
        } else {
            let kinds: Vec<_> = values.iter().map(Value::type_name).take(8).collect();
            bail!("values of the types {} cannot be joined; connect a list of one type", kinds.join(", "));
        };
        Ok(Joined { joined: Wildcard(joined) })
    }
}

/// The values, if all are of a type.
fn all<T: 'static>(values: &[Value]) -> Option<Vec<&T>> {
    values.iter().map(Value::downcast::<T>).collect()
}

/// Tensors behind one another.
fn joined<'t>(tensors: impl Iterator<Item = &'t Tensor> + Clone) -> Result<Tensor> {
    let mut shapes = tensors.clone().map(|tensor| tensor.size().get(1..).map(<[i64]>::to_vec));
    let first = shapes.next();
    for shape in shapes {
        ensure!(Some(&shape) == first.as_ref(), "the values are of different sizes; resize them first");
    }
    memory::ask(tensors.clone().map(|tensor| tensor.numel().saturating_mul(4)).sum::<usize>(), "the joined values")?;
    Ok(Tensor::cat(&tensors.collect::<Vec<_>>(), 0))
}
