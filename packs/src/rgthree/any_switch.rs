use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::io::{Rest, Wildcard};
use redraft_engine::node::Run;

/// Passes on the first of its inputs that is connected and holds something.
#[derive(Node)]
#[node(class = "Any Switch (rgthree)", category = "rgthree", display = "Any Switch (rgthree)")]
struct AnySwitch {
    #[input(rest)]
    inputs: Rest<Wildcard>,
}

#[derive(redraft_engine::Outputs)]
struct Chosen {
    #[output(name = "*")]
    value: Wildcard,
}

impl Run for AnySwitch {
    type Out = Chosen;

    fn run(self, _: &mut Cx) -> anyhow::Result<Chosen> {
        let mut given =
            self.inputs.0.into_iter().filter(|(name, value)| name.starts_with("any_") && !value.0.is_nothing());
        match given.next() {
            Some((_, value)) => Ok(Chosen { value }),
            None => anyhow::bail!("none of its inputs any_01, any_02, … holds anything; connect one"),
        }
    }
}
