use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::io::Wildcard;
use redraft_engine::node::Run;

/// Hands on one of two values.
#[derive(Node)]
#[node(class = "ComfySwitchNode", category = "logic", display = "Switch", experimental)]
struct Switch {
    switch: bool,
    #[input(lazy)]
    on_false: Wildcard,
    #[input(lazy)]
    on_true: Wildcard,
}

#[derive(redraft_engine::Outputs)]
struct Chosen {
    #[output(name = "output")]
    value: Wildcard,
}

impl Run for Switch {
    type Out = Chosen;

    fn run(self, _: &mut Cx) -> anyhow::Result<Chosen> {
        Ok(Chosen { value: if self.switch { self.on_true } else { self.on_false } })
    }
}
