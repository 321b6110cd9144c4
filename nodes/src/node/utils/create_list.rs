use std::rc::Rc;

use redraft_engine::cx::Cx;
use redraft_engine::dynamic::Grow;
use redraft_engine::io::{Emit, List, Socket, Wildcard};
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};

/// Makes one list of several values or lists, for whose members the nodes behind it run one by one.
#[derive(Node)]
#[node(category = "utilities", display = "Create List")]
struct CreateList {
    #[input(prefix = "input", min = 1, max = 10)]
    inputs: Grow<List<Wildcard>>,
}

#[derive(Outputs)]
struct Listed {
    #[output(name = "list")]
    list: Members,
}

/// A list of the type of what was connected.
struct Members(Vec<Wildcard>);

impl Emit for Members {
    const TYPE: &'static str = "COMFY_MATCHTYPE_V3";
    const LIST: bool = true;

    fn into_socket(self) -> Socket {
        self.0.into_iter().map(|member| member.0).collect::<Rc<[_]>>()
    }
}

impl Run for CreateList {
    type Out = Listed;

    fn run(self, _: &mut Cx) -> anyhow::Result<Listed> {
        Ok(Listed { list: Members(self.inputs.0.into_iter().flat_map(|list| list.0).collect()) })
    }
}
