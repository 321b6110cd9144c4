use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::flow::{Lazy, Wants};
use redraft_engine::io::Wildcard;
use redraft_engine::node::Run;

/// Passes one of two values on. The nodes that only the other value needs are not run.
#[derive(Node)]
#[node(class = "ComfySwitchNode", category = "logic", display = "Switch", experimental)]
struct Switch {
    switch: bool,
    on_false: Lazy<Wildcard>,
    on_true: Lazy<Wildcard>,
}

#[derive(redraft_engine::Outputs)]
struct Chosen {
    #[output(name = "output")]
    value: Wildcard,
}

impl Run for Switch {
    type Out = Chosen;

    fn needs(&self, wants: &mut Wants) -> anyhow::Result<()> {
        wants.ask(if self.switch { &self.on_true } else { &self.on_false });
        Ok(())
    }

    fn run(self, _: &mut Cx) -> anyhow::Result<Chosen> {
        let chosen = if self.switch { self.on_true } else { self.on_false };
        Ok(Chosen { value: chosen.get()? })
    }
}
