use redraft_engine::cx::Cx;
use redraft_engine::io::{List, Wildcard};
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};

/// Passes a value on. In the editor it plays a sound, which is left out here.
#[derive(Node)]
#[node(class = "PlaySound|pysssss", category = "utils", display = "PlaySound 🐍", output)]
#[allow(dead_code, reason = "all but the value is the editor's")]
struct PlaySound {
    any: List<Wildcard>,
    mode: List<When>,
    #[input(default = 0.5, min = 0.0, max = 1.0, step = 0.1)]
    volume: List<f64>,
    #[input(default = "notify.mp3")]
    file: List<String>,
}

#[derive(Combo, Clone, Copy)]
enum When {
    Always,
    #[combo(name = "on empty queue")]
    OnEmptyQueue,
}

impl Run for PlaySound {
    type Out = List<Wildcard>;

    fn run(self, _: &mut Cx) -> anyhow::Result<List<Wildcard>> {
        Ok(self.any)
    }
}
