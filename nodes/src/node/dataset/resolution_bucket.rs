use anyhow::{Context, ensure};
use indexmap::IndexMap;
use redraft_engine::cx::Cx;
use redraft_engine::io::List;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};
use tch::Tensor;

use crate::values::{Conditioning, Entry, Latent};

/// Groups latents by size: those of the same size become one batch, and their prompts one conditioning.
#[derive(Node)]
#[node(category = "dataset", display = "Resolution Bucket", experimental)]
struct ResolutionBucket {
    latents: List<Latent>,
    /// One conditioning for each latent, with one prompt for each member of the latent's batch.
    conditioning: List<Conditioning>,
}

#[derive(Outputs)]
struct Buckets {
    /// One batch for each size.
    #[output(name = "latents")]
    latents: List<Latent>,
    #[output(name = "conditioning")]
    conditioning: List<Conditioning>,
}

impl Run for ResolutionBucket {
    type Out = Buckets;

    fn run(self, _: &mut Cx) -> anyhow::Result<Buckets> {
        let (latents, conditioning) = (self.latents.0, self.conditioning.0);
        let counts = (latents.len(), conditioning.len());
        ensure!(counts.0 == counts.1, "there are {} latents but {} conditionings; connect as many", counts.0, counts.1);
        let mut buckets: IndexMap<Vec<i64>, (Vec<Tensor>, Vec<Entry>)> = IndexMap::new();
        for (latent, prompts) in latents.iter().zip(&conditioning) {
            for (at, member) in latent.samples.unbind(0).into_iter().enumerate() {
                let prompt = prompts.0.get(at).with_context(|| {
                    format!(
                        "a latent has {} members but only {} prompts; connect one for each",
                        at + 1,
                        prompts.0.len()
                    )
                })?;
                let size = member.size();
                ensure!(size.len() >= 2, "a latent is shaped {size:?} and has no height and width; connect another");
                let bucket = buckets.entry(size[size.len() - 2..].to_vec()).or_default();
                bucket.0.push(member);
                bucket.1.push(prompt.clone());
            }
        }
        let (latents, conditioning) = buckets
            .into_values()
            .map(|(members, prompts)| (Latent::new(Tensor::stack(&members, 0)), Conditioning(prompts)))
            .unzip();
        Ok(Buckets { latents: List(latents), conditioning: List(conditioning) })
    }
}
