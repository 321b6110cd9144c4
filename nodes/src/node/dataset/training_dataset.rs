use anyhow::{Context, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::io::List;
use redraft_engine::node::{Fingerprint, Offer, Run};
use redraft_engine::{Node, Outputs};
use serde_json::json;

use super::training_shard::{read, shard};
use crate::pictures::names::{inside, subfolder};
use crate::pictures::write::write_over;
use crate::python::json::dumps_indented;
use crate::values::{Conditioning, Latent};

/// Saves latents and their prompts in a folder inside the output folder. Existing files of the same names are replaced.
#[derive(Node)]
#[node(
    category = "dataset",
    display = "Save Training Dataset",
    output,
    experimental,
    hidden("prompt", "extra_pnginfo")
)]
struct SaveTrainingDataset {
    latents: List<Latent>,
    /// One conditioning for each latent.
    conditioning: List<Conditioning>,
    /// The folder. It is created if it is missing.
    #[input(default = "training_dataset")]
    folder_name: String,
    /// How many latents go into one file.
    #[input(default = 1000, min = 1, max = 100000)]
    shard_size: usize,
}

impl Run for SaveTrainingDataset {
    type Out = ();

    fn run(self, cx: &mut Cx) -> anyhow::Result<()> {
        let (latents, conditioning) = (self.latents.0, self.conditioning.0);
        let counts = (latents.len(), conditioning.len());
        ensure!(counts.0 == counts.1, "there are {} latents but {} conditionings; connect as many", counts.0, counts.1);
        let (folder, _) = subfolder(&cx.folders.output, &self.folder_name)?;
        let save = |cx: &mut Cx, name: String, bytes: &[u8]| -> anyhow::Result<()> {
            let path = folder.join(&name);
            write_over(&path, bytes)?;
            cx.saved(std::path::absolute(path)?);
            Ok(())
        };
        let size = self.shard_size.max(1);
        for (at, (latents, prompts)) in latents.chunks(size).zip(conditioning.chunks(size)).enumerate() {
            cx.progress(at * size, counts.0)?;
            save(cx, format!("shard_{at:04}.pkl"), &shard(latents, prompts)?)?;
        }
        let about = json!({
            "num_samples": counts.0, "num_shards": counts.0.div_ceil(size), "shard_size": self.shard_size,
        });
        save(cx, "metadata.json".to_owned(), dumps_indented(&about, 2).as_bytes())
    }
}

/// Reads what SaveTrainingDataset wrote.
#[derive(Node)]
#[node(category = "dataset", display = "Load Training Dataset", experimental)]
struct LoadTrainingDataset {
    /// The folder inside the output folder.
    #[input(default = "training_dataset")]
    folder_name: String,
}

#[derive(Outputs)]
struct Loaded {
    #[output(name = "latents")]
    latents: List<Latent>,
    #[output(name = "conditioning")]
    conditioning: List<Conditioning>,
}

impl Run for LoadTrainingDataset {
    type Out = Loaded;

    /// The folder's name says nothing of what is in it.
    fn fingerprint(_: &Offer) -> anyhow::Result<Fingerprint> {
        Ok(Fingerprint::Never)
    }

    fn run(self, cx: &mut Cx) -> anyhow::Result<Loaded> {
        let gone = || format!("there is no data set '{}' in the output folder; name another", self.folder_name);
        let found = cx.folders.searched("output").map(|output| inside(output, &self.folder_name));
        let found = found.collect::<anyhow::Result<Vec<_>>>()?;
        let folder = found.into_iter().flatten().next().with_context(gone)?;
        let mut names = Vec::new();
        for entry in fs_err::read_dir(&folder)? {
            names.extend(entry?.file_name().into_string());
        }
        names.retain(|name| name.starts_with("shard_") && name.ends_with(".pkl"));
        names.sort_unstable();
        ensure!(
            !names.is_empty(),
            "{} holds no shard_….pkl; name a folder that SaveTrainingDataset made",
            folder.display()
        );
        let (mut latents, mut conditioning) = (Vec::new(), Vec::new());
        for (at, name) in names.iter().enumerate() {
            cx.progress(at, names.len())?;
            let (more, prompts) = read(&folder.join(name))?;
            latents.extend(more);
            conditioning.extend(prompts);
        }
        Ok(Loaded { latents: List(latents), conditioning: List(conditioning) })
    }
}
