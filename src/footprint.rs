//! How much memory a workflow's models will take, said before they are read.

use std::collections::BTreeSet;

use redraft_engine::exec::Engine;
use redraft_engine::memory::in_words;
use redraft_engine::node::Registry;
use redraft_engine::prompt::Prompt;
use redraft_nodes::models::footprint::Footprint;
use redraft_nodes::ops::numerics::Numerics;

use crate::named::named_files;

/// From so many bytes on it is said how much memory models will take.
const LARGE_MODELS: u64 = 4 << 30;

/// How much memory the models of a workflow will take, if that is much.
pub(crate) fn of(prompt: &Prompt, registry: &Registry, engine: &Engine) -> Option<String> {
    let numerics = engine.services.get::<Numerics>()?;
    let named = named_files(prompt, registry, &engine.folders);
    let models = named.iter().filter(|file| !file.is_users());
    let files: BTreeSet<_> = models.filter_map(|file| file.path(&engine.folders)).collect();
    // What is no model counts for nothing here.
    let each = files.iter().filter_map(|path| Footprint::of_file(path, &numerics).ok());
    let Footprint { held, mapped } = each.fold(Footprint::default(), Footprint::and);
    (held + mapped > LARGE_MODELS).then(|| {
        let stays = if mapped > 0 {
            format!(", and {} stay in their files and are read from there", in_words(mapped))
        } else {
            String::new()
        };
        format!("the models take about {} of memory{stays}", in_words(held))
    })
}
