use std::hash::{BuildHasher, RandomState};

use redraft_engine::cx::Cx;
use redraft_engine::node::{Fingerprint, Offer, Run};
use redraft_engine::{Node, Outputs};
use serde_json::Value as Json;

/// The largest seed, 2⁵⁰.
const LARGEST: i64 = 1 << 50;

/// A seed for several nodes. -1, -2 and -3, which the editor replaces before it sends them, are a random one.
#[derive(Node)]
#[node(
    class = "Seed (rgthree)",
    category = "rgthree",
    display = "Seed (rgthree)",
    hidden("prompt", "extra_pnginfo", "unique_id")
)]
struct Seed {
    #[input(default = 0, min = -LARGEST, max = LARGEST)]
    seed: i64,
}

#[derive(Outputs)]
struct Given {
    #[output(name = "SEED")]
    seed: i64,
}

fn is_random(seed: i64) -> bool {
    (-3..=-1).contains(&seed)
}

impl Run for Seed {
    type Out = Given;

    fn fingerprint(offer: &Offer) -> anyhow::Result<Fingerprint> {
        let seed = offer.constant("seed").and_then(Json::as_i64);
        Ok(if seed.is_some_and(is_random) { Fingerprint::Never } else { Fingerprint::Inputs })
    }

    fn run(self, cx: &mut Cx) -> anyhow::Result<Given> {
        if !is_random(self.seed) {
            return Ok(Given { seed: self.seed });
        }
        let random = RandomState::new().hash_one(cx.node.as_str());
        let seed = i64::try_from(random % LARGEST.unsigned_abs()).unwrap_or(0) + 1;
        cx.warn(format!("the seed {} stands for a random one, which is {seed} now; set it to repeat this", self.seed));
        Ok(Given { seed })
    }
}
